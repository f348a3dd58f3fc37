"""Write the hosts of an inventory as JSON to stdout, with evaluated templates and decrypted values.

A program of its own, run as `python ansible_reader.py --list --inventory PATH`: ansible changes the process that loads
it, and ends it on an error. It takes the options of `ansible-inventory`, which itself evaluates no templates. Warnings
and errors go to stderr, one per line. The object has these members:

    groups      names of all groups
    hosts       for each host:
      name
      groups      its groups, directly or through child groups, with `all`
      vars        its variables, with those of its groups
      secrets     names of the variables with values that ansible-vault had encrypted
      templates   reasons by variable: templates that cannot be evaluated without a playbook, left as text
      omitted     reasons by variable: values that are not JSON

Needs ansible-core 2.17 or newer.
"""

import contextlib
import datetime as dt
import json
import math
import os
import re
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path
from typing import Any, Final

from ansible.cli import inventory as ansible_inventory  # type: ignore[import-untyped]  # first: it prepares the process

# isort: split
from ansible.errors import AnsibleError  # type: ignore[import-untyped]
from ansible.parsing.dataloader import DataLoader  # type: ignore[import-untyped]
from ansible.plugins.loader import lookup_loader  # type: ignore[import-untyped]
from ansible.template import Templar  # type: ignore[import-untyped]
from ansible.utils.display import Display  # type: ignore[import-untyped]
from ansible.vars.hostvars import HostVars  # type: ignore[import-untyped]
from jinja2 import Environment, TemplateSyntaxError
from jinja2.meta import find_undeclared_variables

_LOOKUPS: Final = frozenset({
    "config", "csvfile", "dict", "env", "file", "fileglob", "first_found", "indexed_items", "ini",
    "inventory_hostnames", "items", "list", "nested", "sequence", "subelements", "template", "together", "varnames",
    "vars",
})  # fmt: skip
"""Lookups that only read variables and local files. Others run programs, ask servers or write files."""

_RUNTIME_PREFIX: Final = "ansible_"
"""Beginning of the names of facts and of what else ansible defines only in a play."""

_CONNECTION: Final = frozenset(name for names in ansible_inventory.C.MAGIC_VARIABLE_MAPPING.values() for name in names)
"""Variables with that prefix that are defined only by an inventory."""

_JINJA: Final = Environment()  # noqa: S701 -- it only parses
_SHOWN: Final = 80  # characters of a value in a message
_ENDLESS: Final = 10**6  # columns per line
_TEMPLATE: Final = re.compile(r"\{[{%#]")
_WORD: Final = re.compile(r"[A-Za-z_]\w*")
_VARS_FOLDERS: Final = frozenset({"group_vars", "host_vars"})
_VAULT_HEADER: Final = b"$ANSIBLE_VAULT"
_VAULT_TYPES: Final = frozenset({"EncryptedString", "AnsibleVaultEncryptedUnicode"})  # since 2.19, and up to 2.18


class _LookupRefused(AnsibleError):  # type: ignore[misc]  # ansible has no types
    """A template uses a lookup that has effects."""


class _NotJson(ValueError):
    """A value cannot be written as JSON; the text has the reason."""


class InventoryReader(ansible_inventory.InventoryCLI):  # type: ignore[misc]
    """The program `ansible-inventory` with another output."""

    def run(self) -> None:
        """Print the hosts."""
        Display().columns = _ENDLESS
        super(ansible_inventory.InventoryCLI, self).run()
        names_in_encrypted_files = _note_names_in_encrypted_files()
        _guard_lookups()
        self.loader, self.inventory, self.vm = self._play_prereqs()
        HostVars(inventory=self.inventory, variable_manager=self.vm, loader=self.loader)  # defines `hostvars`
        hosts = list(self.inventory.hosts.values())
        variables = [self.vm.get_vars(host=host, stage="all") for host in hosts]  # reads every file
        is_encrypted = any(map(_is_encrypted, _files(ansible_inventory.context.CLIARGS["inventory"])))
        document = {
            "groups": sorted(self.inventory.groups),
            "hosts": [
                {
                    "name": host.name,
                    "groups": sorted(group.name for group in host.get_groups()),
                    **self._evaluate(of_host, of_host if is_encrypted else names_in_encrypted_files),
                }
                for host, of_host in zip(hosts, variables, strict=True)
            ],
        }
        sys.stdout.write(json.dumps(document))

    def _evaluate(self, variables: dict[str, Any], from_encrypted_files: Container[str]) -> dict[str, Any]:
        """Return the members of a host that are about its variables.

        Args:
            variables: the variables of the host, and variables that ansible defines.
            from_encrypted_files: names of variables that are in encrypted files.
        """
        own = self._remove_internal(dict(variables))
        words = {name: set(_words(value)) for name, value in own.items()}
        encrypted = {name for name, value in own.items() if name in from_encrypted_files or _holds_vault(value)}
        secrets = _dependent(encrypted, words)
        unknown = _names_in_templates(own) - _CONNECTION - (variables.keys() - {"ansible_facts"})
        runtime = _dependent({name for name in unknown if name.startswith(_RUNTIME_PREFIX)}, words)
        templar = Templar(loader=self.loader, variables=variables)
        values: dict[str, Any] = {}
        templates: dict[str, str] = {}
        omitted: dict[str, str] = {}
        for name, raw in own.items():
            value = raw
            if words[name] and name in runtime:
                templates[name] = "it depends on facts, which only a playbook has"
            elif words[name]:
                try:
                    value = templar.template(raw)
                except Exception as error:  # noqa: BLE001 -- a template can raise anything
                    if type(error).__name__ == "AnsibleValueOmittedError":
                        continue
                    templates[name] = _reason(error)
                if value == variables.get("omit"):  # up to 2.18
                    continue
            try:
                values[name] = _to_json(value)
            except _NotJson as reason:
                omitted[name] = str(reason)
        return {"vars": values, "secrets": sorted(secrets & values.keys()), "templates": templates, "omitted": omitted}


def _dependent(names: AbstractSet[str], words: Mapping[str, AbstractSet[str]]) -> set[str]:
    """Return the names, and those of variables with templates that contain one of them, directly or by others."""
    found = set(names)
    while more := {name for name, contained in words.items() if name not in found and contained & found}:
        found |= more
    return found


def _words(value: Any) -> Iterator[str]:
    """Yield the words of the templates in a value: names of variables, and of keys of `hostvars`."""
    for text in _texts(value):
        if _TEMPLATE.search(text):
            yield from _WORD.findall(text)


def _names_in_templates(value: Any) -> set[str]:
    """Return the names of all variables that the templates in a value use."""
    return {name for text in _texts(value) if _TEMPLATE.search(text) for name in _names_in_template(text)}


@cache  # most hosts have the templates of their groups
def _names_in_template(text: str) -> AbstractSet[str]:
    try:
        return find_undeclared_variables(_JINJA.parse(text))
    except TemplateSyntaxError:  # it is reported when the template is evaluated
        return frozenset()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


def _is_vault(value: Any) -> bool:
    return type(value).__name__ in _VAULT_TYPES


def _holds_vault(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_vault, value.values()))
    return any(map(_holds_vault, value)) if isinstance(value, (list, tuple)) else _is_vault(value)


def _to_json(value: Any) -> Any:
    """Return a value of ansible as JSON, with vault values decrypted.

    Raises:
        _NotJson: that is not possible.
    """
    if isinstance(value, Mapping):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, AbstractSet):
        return [_to_json(item) for item in sorted(value, key=str)]
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _to_text(value)


def _to_text(value: Any) -> str:
    if isinstance(value, str) or _is_vault(value):
        return str(value)
    if isinstance(value, dt.date):
        return str(value)
    if isinstance(value, bytes):
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode()
    raise _NotJson(f"{repr(value)[:_SHOWN]} cannot be written as JSON")


def _reason(error: BaseException) -> str:
    """Return the first line of an error, or that of the refused lookup that caused it."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, _LookupRefused):
        cause = cause.__cause__ or cause.__context__
    return str(cause or error).strip().partition("\n")[0]


def _files(sources: Iterable[str]) -> Iterator[Path]:
    """Yield the files of an inventory without those of `group_vars` and `host_vars`."""
    for source in map(Path, sources):
        for folder, folders, names in os.walk(source):
            folders[:] = [name for name in folders if name not in _VARS_FOLDERS]
            yield from (Path(folder, name) for name in names)
        yield source


def _is_encrypted(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(len(_VAULT_HEADER)) == _VAULT_HEADER


def _note_names_in_encrypted_files() -> set[str]:
    """Return a set to which ansible's loader adds the names of the variables in each encrypted file that it reads."""
    names: set[str] = set()
    load: Callable[..., Any] = DataLoader.load_from_file

    def load_from_file(self: Any, file_name: str, *arguments: Any, **options: Any) -> Any:
        data = load(self, file_name, *arguments, **options)
        if isinstance(data, Mapping) and _is_encrypted(Path(self.path_dwim(file_name))):
            names.update(map(str, data))
        return data

    DataLoader.load_from_file = load_from_file
    return names


def _guard_lookups() -> None:
    """Let templates use only lookups without effects."""
    get: Callable[..., Any] = lookup_loader.get

    def guarded_get(name: str, *arguments: Any, **options: Any) -> Any:
        if name.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.") not in _LOOKUPS:
            raise _LookupRefused(f"the lookup {name} is not run by an import")
        return get(name, *arguments, **options)

    lookup_loader.get = guarded_get


if __name__ == "__main__":
    InventoryReader.cli_executor()
