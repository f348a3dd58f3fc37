"""Random playbooks: a strategy of hypothesis that builds plays of the features that decide how a node ends.

The smaller a drawn playbook, the simpler: all that is optional is absent first, and a task is first a plain message.
Tasks need no module on a node, which would take most of the time of a run, except the unreachable ones.
"""

from collections.abc import Iterator
from typing import Any, Final

import yaml
from hypothesis import strategies as st

Play = dict[str, Any]
Task = dict[str, Any]

_NODES: Final = ("a-0", "b-0", "c-0")
_HOSTS: Final = [
    "all",
    "all",
    "service-master",
    "service-worker",
    "a-0",
    "all:!a-0",
    "added:grouped",
    "localhost",
    "nobody",
]
_HANDLERS: Final = ("Handler", "Failing handler")

_some_nodes = st.lists(st.sampled_from(_NODES), min_size=1, max_size=2, unique=True).map(sorted)
"""Some, but not all nodes."""


def _when(nodes: list[str]) -> str:
    return f"inventory_hostname in {nodes}"


def _optional(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw a dictionary that has few of the members, or none."""
    members_of_one = [st.fixed_dictionaries({name: value}) for name, value in members.items()]
    few = st.lists(st.one_of(members_of_one), max_size=2).map(
        lambda found: {k: v for one in found for k, v in one.items()}
    )
    return st.one_of(st.just({}), few)


def _merged(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda found: {name: value for part in found for name, value in part.items()})


_true = st.just(True)
_keywords = _optional(
    run_once=_true,
    any_errors_fatal=_true,
    ignore_errors=_true,
    no_log=_true,
    when=_some_nodes.map(_when),
    delegate_to=st.sampled_from(["c-0", "localhost"]),
)
"""Keywords of any task that runs on nodes."""

_messages = st.fixed_dictionaries({"ansible.builtin.debug": st.just({"msg": "message"})})
_changes = st.fixed_dictionaries(
    {
        "ansible.builtin.debug": st.just({"msg": "changed"}),
        "changed_when": _some_nodes.map(_when),
        "notify": st.sampled_from(_HANDLERS),
    }
)
_failures = st.fixed_dictionaries(
    {"ansible.builtin.fail": st.just({}), "when": _some_nodes.map(_when) | _some_nodes.map(_when) | st.just("true")}
)
_failed_conditions = st.fixed_dictionaries(
    {"ansible.builtin.debug": st.just({"msg": "message"}), "failed_when": _some_nodes.map(_when)}
)
_undefined = st.fixed_dictionaries(
    {"ansible.builtin.debug": st.just({"msg": "{{ missing }}"}), "when": _some_nodes.map(_when)}
)
_loops = st.fixed_dictionaries(
    {
        "ansible.builtin.debug": st.just({"msg": "{{ item }}"}),
        "loop": st.sampled_from([[1, 2], [1], []]),
        "failed_when": st.just("false") | _some_nodes.map(lambda nodes: f"item == 1 and {_when(nodes)}"),
    }
)
_retries = st.fixed_dictionaries(
    {
        "ansible.builtin.debug": st.just({"msg": "message"}),
        "register": st.just("said"),
        "until": _some_nodes.map(_when),
        "retries": st.just(1),
        "delay": st.just(0),
    }
)
_unreachable = _merged(
    st.fixed_dictionaries(
        {
            "ansible.builtin.ping": st.just({}),
            "when": _some_nodes.map(_when),
            "vars": st.just({"ansible_remote_tmp": "/dev/null/tmp", "ansible_pipelining": False}),
        }
    ),
    _optional(ignore_unreachable=_true),
)
_ends = st.fixed_dictionaries(
    {
        "ansible.builtin.meta": st.sampled_from(["end_host", "end_play", "end_batch", "clear_host_errors"]),
        "when": _some_nodes.map(_when) | st.just("true"),
    }
)
_metas = st.sampled_from(["flush_handlers", "noop", "refresh_inventory", "clear_facts"]).map(
    lambda action: {"ansible.builtin.meta": action}
)
_files = st.sampled_from(["say", "fail", "rescued", "missing"]).map("tasks/{}.yml".format)
_includes = _merged(
    st.fixed_dictionaries({"ansible.builtin.include_tasks": _files}),
    _optional(when=_some_nodes.map(_when), loop=st.just([1, 2]), run_once=_true),
)
_imports = st.sampled_from(["say", "fail", "rescued"]).map(
    lambda file: {"ansible.builtin.import_tasks": f"tasks/{file}.yml"}
)
_roles = st.fixed_dictionaries({"name": st.sampled_from(["say", "failing", "ending"])}).flatmap(
    lambda role: st.sampled_from(["ansible.builtin.include_role", "ansible.builtin.import_role"]).map(
        lambda action: {action: role}
    )
)
_hosts = st.fixed_dictionaries(
    {"ansible.builtin.add_host": st.just({"name": "added"}), "ansible.builtin.group_by": st.just({"key": "grouped"})}
).flatmap(lambda actions: st.sampled_from([{name: arguments} for name, arguments in actions.items()]))

_simple_tasks = st.one_of(
    _messages,
    *(_merged(kind, _keywords) for kind in (_messages, _changes, _failures, _failed_conditions, _undefined)),
    *(_merged(kind, _keywords) for kind in (_loops, _retries)),
    _failures,
    _unreachable,
    _ends,
    _metas,
    _includes,
    _imports,
    _roles,
    _hosts,
)


def _blocks(tasks: st.SearchStrategy[Task]) -> st.SearchStrategy[Task]:
    few = st.lists(tasks, min_size=1, max_size=3)
    sections = st.one_of(
        st.fixed_dictionaries({"block": few, "rescue": few}),
        st.fixed_dictionaries({"block": few, "rescue": few, "always": few}),
        st.fixed_dictionaries({"block": few, "always": few}),
    )
    return _merged(
        sections, _optional(any_errors_fatal=_true, ignore_errors=_true, run_once=_true, when=_some_nodes.map(_when))
    )


_tasks = st.recursive(_simple_tasks, _blocks, max_leaves=3)
_handlers = _some_nodes.map(
    lambda nodes: [
        {"name": _HANDLERS[0], "ansible.builtin.debug": {"msg": "handled"}},
        {"name": _HANDLERS[1], "ansible.builtin.fail": {}, "when": _when(nodes)},
    ]
)


def _plays(hosts: st.SearchStrategy[str], *, least_tasks: int) -> st.SearchStrategy[Play]:
    return _merged(
        st.fixed_dictionaries({"hosts": hosts, "gather_facts": st.just(False)}),
        _optional(
            strategy=st.sampled_from(["free", "free", "host_pinned"]),
            serial=st.sampled_from([1, 2, [1, "100%"]]),
            max_fail_percentage=st.sampled_from([0, 30, 60]),
            any_errors_fatal=_true,
            ignore_errors=_true,
            ignore_unreachable=_true,
            force_handlers=_true,
        ),
        st.fixed_dictionaries({"tasks": st.lists(_tasks, min_size=least_tasks, max_size=4), "handlers": _handlers}),
    )


playbooks: st.SearchStrategy[list[Play]] = st.tuples(
    _plays(st.just("all"), least_tasks=2), st.lists(_plays(st.sampled_from(_HOSTS), least_tasks=1), max_size=1)
).map(lambda plays: [plays[0], *plays[1]])
"""Playbooks for the nodes a-0, b-0 and c-0, without names."""


def to_yaml(plays: list[Play]) -> str:
    """Return a playbook as text, with a name for each play, block and task."""
    named = [
        {"name": f"Play {number}", **_without_idle_handlers(play), "tasks": list(_named(play["tasks"], f"{number}."))}
        for number, play in enumerate(plays, start=1)
    ]
    return yaml.dump(named, sort_keys=False, Dumper=_WithoutAliases)


def _without_idle_handlers(play: Play) -> Play:
    """Return a play without the handlers that no task notifies."""
    return {**play, "handlers": [handler for handler in play["handlers"] if handler["name"] in str(play["tasks"])]}


class _WithoutAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _named(tasks: list[Task], prefix: str) -> Iterator[Task]:
    for number, task in enumerate(tasks, start=1):
        sections: Task = {
            section: list(_named(task[section], f"{prefix}{number}{section[0]}"))
            for section in ("block", "rescue", "always")
            if section in task
        }
        yield {"name": f"Task {prefix}{number}", **task, **sections}
