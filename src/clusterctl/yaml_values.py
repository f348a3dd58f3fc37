"""Reads YAML as ansible does, as values that JSON can hold. Dates become text; a value without a JSON form is an error.

Imported only where YAML is read, because PyYAML is slow to load.
"""

from typing import Any

import yaml

_VAULT_ADVICE = (
    "clusterctl sends plain values, which the service encrypts: decrypt it, or use group_vars of the playbooks"
)


def parse(text: str) -> Any:
    """Return the value of a YAML document.

    A date or time is the text that ansible prints for it; a set is a list; a text tagged `!unsafe` is a text.

    Raises:
        ValueError: the text is not YAML, or has a value that JSON has no form for. The text is one line.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 -- a subclass of the safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}" if mark else ""
        raise ValueError(": ".join(filter(None, (error.context, error.problem))) + place) from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


class _Loader(yaml.SafeLoader):
    def construct_moment(self, node: yaml.ScalarNode) -> str:
        """Return a date or time as text."""
        try:
            return str(self.construct_yaml_timestamp(node))
        except ValueError as error:
            raise _error(f"{node.value!r} is no date: {error}", node) from None

    def construct_finite(self, node: yaml.ScalarNode) -> float:
        """Return a number."""
        value = float(self.construct_yaml_float(node))
        if value - value != 0:
            raise _error(f"{node.value} is no number that JSON can hold", node)
        return value

    def construct_items(self, node: yaml.MappingNode) -> list[Any]:
        """Return the members of a set as a list, in the order of the file."""
        return [self.construct_object(key, deep=True) for key, _ in node.value]

    def construct_unsafe(self, node: yaml.ScalarNode | yaml.SequenceNode | yaml.MappingNode) -> Any:
        """Return a value that is marked as data, as all values of a request are."""
        if isinstance(node, yaml.ScalarNode):
            return self.construct_scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return self.construct_sequence(node, deep=True)
        return self.construct_mapping(node, deep=True)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 -- PyYAML's
        """Return an object, whose keys must be text, as in JSON."""
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        for key in mapping:
            if not isinstance(key, str):
                raise _error(f"the key {key} is no text, which JSON has no form for: put it into quotes", node)
        return mapping

    def refuse_binary(self, node: yaml.Node) -> None:
        """Refuse bytes."""
        raise _error("!!binary is no value that JSON can hold: give its text", node)

    def refuse_vault(self, node: yaml.Node) -> None:
        """Refuse an encrypted value."""
        raise _error(f"a value is encrypted with ansible vault; {_VAULT_ADVICE}", node)

    def refuse_tag(self, node: yaml.Node) -> None:
        """Refuse a tag that ansible does not know, either."""
        raise _error(f"the tag {node.tag} is not known", node)


def _error(problem: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.construct_moment)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_finite)
_Loader.add_constructor("tag:yaml.org,2002:set", _Loader.construct_items)
_Loader.add_constructor("tag:yaml.org,2002:binary", _Loader.refuse_binary)
_Loader.add_constructor("!unsafe", _Loader.construct_unsafe)
_Loader.add_constructor("!vault", _Loader.refuse_vault)
_Loader.add_constructor("!vault-encrypted", _Loader.refuse_vault)
_Loader.add_constructor(None, _Loader.refuse_tag)
