"""What clusterm stores about a job is what ansible did; `make differential` tests all playbooks of the folder."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from differential.account import Recorded, Stored, TaskName
from differential.compare import EXPLANATIONS, differences
from differential.run_folder import compare
from differential.runs import PLAYBOOKS, Case, Site, cases

ALL = {case.name: case for case in cases(PLAYBOOKS)}

GRAVE = [
    "another_group",
    "any_errors_fatal_rescued",
    "async_poll",
    "clear_host_errors",
    "end_host",
    "handlers_flushed_in_a_block",
    "ignore_unreachable",
    "include_tasks_missing",
    "loop_failed",
    "max_fail_percentage",
    "names_of_other_types",
    "quiet",
    "rescue_of_imported_tasks_in_always",
    "run_once_rescued",
    "serial_list",
    "strategy_free_failed",
    "undefined_hosts",
]
"""The playbooks about which a wrong account would be the gravest."""


@pytest.mark.parametrize("name", GRAVE)
def test_a_job_is_stored_as_ansible_ran_it(site: Site, name: str) -> None:
    assert compare(site, ALL[name], bare=False) == []


def test_ansible_does_the_same_without_clusterm(site: Site) -> None:
    assert compare(site, ALL["rescue"], bare=True) == []


@pytest.fixture(scope="module")
def accounts(site: Site) -> tuple[Recorded, Stored]:
    """The accounts of one run in which all kinds of things happened."""
    return site.run(ALL["loop_failed"])


def _forget_a_failure(stored: Stored) -> None:
    stored.failures.pop()


def _move_a_failure(stored: Stored) -> None:
    failure, _ = stored.failure_lines[0]
    stored.failure_lines[0] = (failure, 0)


def _lose_the_line_of_a_failure(stored: Stored) -> None:
    failure, _ = stored.failure_lines[0]
    stored.failure_lines[0] = (failure, None)


def _pass_everybody(stored: Stored) -> None:
    stored.passed |= {"a-0", "b-0", "c-0"}


def _change_the_status(stored: Stored) -> None:
    stored.job["status"] = "Complete"


def _count_wrong(stored: Stored) -> None:
    stored.recap["a-0"]["ok"] += 1


def _change_a_result(stored: Stored) -> None:
    next(iter(stored.results.values()))["a-0"] = ["changed"]


def _invent_a_task(stored: Stored) -> None:
    stored.results[TaskName("Loops", "invented", "site.yml:1")] = {}


def _repeat_a_task(stored: Stored) -> None:
    stored.rows[next(iter(stored.rows))] += 1


def _swap_lines(stored: Stored) -> None:
    stored.lines[-2], stored.lines[-3] = stored.lines[-3], stored.lines[-2]


def _lose_a_line(stored: Stored) -> None:
    del stored.lines[len(stored.lines) // 2]


def _attribute_a_line_to_another_node(stored: Stored) -> None:
    number = next(n for n, line in enumerate(stored.lines) if line.author and line.author.node == "a-0")
    line = stored.lines[number]
    assert line.author is not None
    stored.lines[number] = line._replace(author=line.author._replace(node="b-0"))


def _change_an_event(stored: Stored) -> None:
    stored.events["a-0"] = "fail"


@pytest.mark.parametrize(
    "falsify",
    [
        _forget_a_failure,
        _move_a_failure,
        _lose_the_line_of_a_failure,
        _pass_everybody,
        _change_the_status,
        _count_wrong,
        _change_a_result,
        _invent_a_task,
        _repeat_a_task,
        _swap_lines,
        _lose_a_line,
        _attribute_a_line_to_another_node,
        _change_an_event,
    ],
)
def test_a_false_account_is_noticed(
    site: Site, accounts: tuple[Recorded, Stored], falsify: Callable[[Stored], Any]
) -> None:
    recorded, stored = accounts
    false = copy.deepcopy(stored)
    falsify(false)
    nodes = list(site.nodes)
    assert set(map(str, differences(recorded, false, nodes))) - set(map(str, differences(recorded, stored, nodes)))


def test_each_explanation_is_documented() -> None:
    contributing = " ".join((Path(__file__).parents[2] / "CONTRIBUTING.md").read_text().split())
    assert [explanation.reason for explanation in EXPLANATIONS if f"- {explanation.reason}" not in contributing] == []


def test_playbooks_are_found_with_what_belongs_to_them(site: Site) -> None:
    assert ALL["check_mode"] == Case("check_mode.yml", check=True)
    assert len(ALL) >= 40
    assert not {"nodes", "check_mode.job"} & ALL.keys()
