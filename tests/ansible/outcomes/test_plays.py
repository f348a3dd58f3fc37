"""Outcomes of plays: which nodes a play takes, and what ends a play for nodes other than the failed one."""

from support.outcomes import A_IS_UNREACHABLE, ALL, NONE, A, B, C, Outcome, Row, Runner, Versions, each_row, failed_too

PLAYS = [
    Row(
        "an empty play",
        "- hosts: all",
        Outcome(ALL),
    ),
    Row(
        "a play without tasks that run",
        """
        - hosts: all
          tasks:
          - {name: never, debug: , when: false}
        """,
        Outcome(ALL, "3 skipped", tasks=1),
    ),
    Row(
        "a play for a group that clusterm does not make",
        """
        - hosts: kube-master
          tasks:
          - {name: install, debug: }
        """,
        Outcome(NONE, no_play=ALL),
        versions=Versions.EVERY,
    ),
    Row(
        "a play for a group that clusterm does not make, where that is allowed",
        """
        - hosts: kube-master
          tasks:
          - {name: install, debug: }
        """,
        Outcome(ALL),
        settings={"every_node_needs_a_play": False},
    ),
    Row(
        "a play for one node",
        """
        - hosts: a-0
          tasks:
          - {name: install, debug: }
        """,
        Outcome([A], "1 ok", tasks=1, no_play=[B, C]),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a play for one node, without partial success",
        """
        - hosts: a-0
          tasks:
          - {name: install, debug: }
        """,
        Outcome([A], "1 ok", tasks=1, no_play=[B, C]),
        partial_success=False,
    ),
    Row(
        "a play for one node, in which it fails",
        """
        - hosts: a-0
          tasks:
          - {name: install, fail: {msg: disk full}}
        """,
        Outcome(NONE, "1 failed", tasks=1, failures=[(A, "install", "disk full")], no_play=[B, C]),
    ),
    Row(
        "a play that excludes one node",
        """
        - hosts: all:!c-0
          tasks:
          - {name: install, debug: }
        """,
        Outcome([A, B], "2 ok", tasks=1, no_play=[C]),
    ),
    Row(
        "an empty play that excludes one node",
        "- hosts: all:!c-0",
        Outcome([A, B], no_play=[C]),
    ),
    Row(
        "plays that take all nodes between them",
        """
        - hosts: a-0
          tasks:
          - {name: first, debug: }
        - hosts: all:!a-0
          tasks:
          - {name: second, debug: }
        """,
        Outcome(ALL, "3 ok", tasks=2),
    ),
    Row(
        "a later play that does not take a node",
        """
        - hosts: all
          tasks:
          - {name: first, debug: }
        - hosts: a-0:b-0
          tasks:
          - {name: second, debug: }
        - hosts: kube-master
          tasks:
          - {name: third, debug: }
        """,
        Outcome(ALL, "5 ok", tasks=2),
        versions=Versions.EVERY,
    ),
    Row(
        "a node fails in a later play that does not take all",
        """
        - hosts: all
          tasks:
          - {name: first, debug: }
        - hosts: a-0:b-0
          tasks:
          - {name: second, fail: {msg: disk full}, when: on_a}
        """,
        Outcome([B, C], "3 ok, 1 failed, 1 skipped", tasks=2, failures=[(A, "second", "disk full")]),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a node that has failed is not in later plays",
        """
        - hosts: all
          tasks:
          - {name: first, fail: {msg: disk full}, when: on_a}
        - hosts: all
          tasks:
          - {name: second, debug: }
        """,
        Outcome([B, C], "1 failed, 2 skipped, 2 ok", tasks=2, failures=[(A, "first", "disk full")]),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "all nodes of a play fail, and ansible skips the play of the others",
        """
        - hosts: a-0
          tasks:
          - {name: first, fail: {msg: disk full}}
        - hosts: all:!a-0
          tasks:
          - {name: second, debug: }
        """,
        Outcome(NONE, "1 failed", tasks=1, failures=[(A, "first", "disk full")]),
        versions=Versions.EVERY,
    ),
    Row(
        "a play of the others comes before one in which all fail",
        """
        - hosts: all:!a-0
          tasks:
          - {name: first, debug: }
        - hosts: a-0
          tasks:
          - {name: second, fail: {msg: disk full}}
        """,
        Outcome([B, C], "2 ok, 1 failed", tasks=2, failures=[(A, "second", "disk full")]),
    ),
    Row(
        "a play on this machine alone",
        """
        - hosts: localhost
          tasks:
          - {name: order, debug: }
        """,
        Outcome(NONE, "1 ok", tasks=1, no_play=ALL),
    ),
    Row(
        "a play on this machine alone, where that is allowed",
        """
        - hosts: localhost
          tasks:
          - {name: order, debug: }
        """,
        Outcome(ALL, "1 ok", tasks=1),
        settings={"every_node_needs_a_play": False},
    ),
    Row(
        "a failed play on this machine alone, where that is allowed",
        """
        - hosts: localhost
          tasks:
          - {name: order, fail: {msg: no answer}}
        """,
        Outcome(NONE, "1 failed", tasks=1, failures=[("localhost", "order", "no answer")]),
        settings={"every_node_needs_a_play": False},
    ),
    Row(
        "a failed play on this machine before the play on the nodes",
        """
        - hosts: localhost
          tasks:
          - {name: order, fail: {msg: no answer}}
        - hosts: all
          tasks:
          - {name: install, debug: }
        """,
        Outcome(NONE, "1 failed", tasks=1, failures=[("localhost", "order", "no answer")]),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a failed play on this machine after the play on the nodes",
        """
        - hosts: all
          tasks:
          - {name: install, debug: }
        - hosts: localhost
          tasks:
          - {name: report, fail: {msg: no answer}}
        """,
        Outcome(NONE, "3 ok, 1 failed", tasks=2, failures=[("localhost", "report", "no answer")]),
    ),
    Row(
        "an imported playbook",
        """
        - import_playbook: first.yml
        - import_playbook: second.yml
        """,
        Outcome([B, C], "1 failed, 2 skipped, 2 ok", tasks=2, failures=[(A, "first", "disk full")]),
        files={
            "first.yml": "- hosts: all\n  tasks:\n  - {name: first, fail: {msg: disk full}, when: on_a}",
            "second.yml": "- hosts: all\n  tasks:\n  - {name: second, debug: }",
        },
    ),
    Row(
        "a node that is added is not a node of the job",
        """
        - hosts: all
          tasks:
          - {name: add, add_host: {name: d-0, groups: added}, when: on_a}
        - hosts: added
          tasks:
          - {name: install, debug: }
        """,
        Outcome(ALL, "1 changed, 1 ok", tasks=2),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a group made while the playbook runs",
        """
        - hosts: all
          tasks:
          - {name: group, group_by: {key: "{{ 'odd' if on_b else 'even' }}"}}
        - hosts: odd
          tasks:
          - {name: install, fail: {msg: disk full}}
        """,
        Outcome([A, C], "3 changed, 1 failed", tasks=2, failures=[(B, "install", "disk full")]),
        versions=Versions.ON_REQUEST,
    ),
]

BATCHES = [
    Row(
        "batches that pass",
        """
        - hosts: all
          serial: [1, 2]
          tasks:
          - {name: install, debug: }
        """,
        Outcome(ALL, "3 ok", tasks=2),
    ),
    Row(
        "the first batch fails as a whole",
        """
        - hosts: all
          serial: 1
          tasks:
          - {name: install, fail: {msg: disk full}, when: on_a}
        """,
        Outcome(NONE, "1 failed", tasks=1, failures=[(A, "install", "disk full")]),
        versions=Versions.EVERY,
    ),
    Row(
        "the second batch fails as a whole",
        """
        - hosts: all
          serial: "34%"
          tasks:
          - {name: install, fail: {msg: disk full}, when: on_b}
        """,
        Outcome([A], "1 skipped, 1 failed", tasks=2, failures=[(B, "install", "disk full")]),
    ),
    Row(
        "a part of a batch fails",
        """
        - hosts: all
          serial: [2, 1]
          tasks:
          - {name: install, fail: {msg: disk full}, when: on_a}
        """,
        Outcome([B, C], "2 skipped, 1 failed", tasks=2, failures=[(A, "install", "disk full")]),
    ),
    Row(
        "too many nodes of a batch fail",
        """
        - hosts: all
          serial: 2
          max_fail_percentage: 25
          tasks:
          - {name: install, fail: {msg: disk full}, when: on_a}
          - {name: start, debug: }
        """,
        Outcome(
            NONE,
            "1 skipped, 1 failed",
            tasks=1,
            failures=[(A, "install", "disk full"), *failed_too([B], "install", "max_fail_percentage")],
        ),
        versions=Versions.EVERY,
    ),
    Row(
        "not too many nodes of a play fail",
        """
        - hosts: all
          max_fail_percentage: 50
          tasks:
          - {name: install, fail: {msg: disk full}, when: on_a}
          - {name: start, debug: }
        """,
        Outcome([B, C], "2 skipped, 1 failed, 2 ok", tasks=2, failures=[(A, "install", "disk full")]),
    ),
    Row(
        "any error is fatal",
        """
        - hosts: all
          any_errors_fatal: true
          tasks:
          - {name: install, fail: {msg: disk full}, when: on_a}
          - {name: start, debug: }
        """,
        Outcome(
            NONE,
            "2 skipped, 1 failed",
            tasks=1,
            failures=[(A, "install", "disk full"), *failed_too([B, C], "install", "any_errors_fatal")],
        ),
        versions=Versions.EVERY,
    ),
    Row(
        "any error is fatal in a later play",
        """
        - hosts: all
          tasks:
          - {name: install, debug: }
        - hosts: a-0:b-0
          any_errors_fatal: true
          tasks:
          - {name: start, fail: {msg: no answer}, when: on_a}
        """,
        Outcome(
            [C],
            "3 ok, 1 skipped, 1 failed",
            tasks=2,
            failures=[(A, "start", "no answer"), *failed_too([B], "start", "any_errors_fatal")],
        ),
    ),
    Row(
        "any unreachable node is fatal",
        """
        - hosts: all
          any_errors_fatal: true
          tasks:
          - {name: reach, ping: }
          - {name: start, debug: }
        """,
        Outcome(
            NONE,
            "2 ok, 1 unreachable",
            tasks=1,
            failures=[
                (A, "reach", "127.0.0.1"),
                *((node, "reach", "lost the connection to a-0, which fails this node, too", None) for node in (B, C)),
            ],
        ),
        files=A_IS_UNREACHABLE,
    ),
    Row(
        "any error is fatal, but it is rescued on all nodes",
        """
        - hosts: all
          any_errors_fatal: true
          tasks:
          - block:
            - {name: install, fail: {msg: disk full}}
            rescue:
            - {name: repair, debug: }
          - {name: start, debug: }
        - hosts: all
          tasks:
          - {name: check, fail: {msg: no answer}, when: on_b}
        """,
        Outcome([A, C], "3 rescued, 6 ok, 2 skipped, 1 failed", tasks=4, failures=[(B, "check", "no answer")]),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "any error is fatal, but it is rescued on the node that it occurs on",
        """
        - hosts: all
          any_errors_fatal: true
          tasks:
          - block:
            - {name: install, fail: {msg: disk full}, when: on_a}
            rescue:
            - {name: repair, debug: }
          - {name: start, debug: }
        """,
        Outcome(ALL, "1 rescued, 2 skipped, 6 ok", tasks=3),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "the one run of a task fails",
        """
        - hosts: all
          tasks:
          - {name: elect, fail: {msg: no quorum}, run_once: true}
          - {name: start, debug: }
        """,
        Outcome(
            NONE, "1 failed", tasks=1, failures=[(A, "elect", "no quorum"), *failed_too([B, C], "elect", "run_once")]
        ),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "any error is fatal, it is rescued, and a later play goes on without the others",
        """
        - hosts: all
          any_errors_fatal: true
          tasks:
          - block:
            - {name: install, fail: {msg: disk full}, when: on_a}
            rescue:
            - {name: repair, debug: }
        - hosts: all
          tasks:
          - {name: start, debug: }
        """,
        Outcome([A], "1 rescued, 2 skipped, 4 ok", tasks=3, failures=failed_too([B, C], "install", "any_errors_fatal")),
        versions=Versions.EVERY,
    ),
    Row(
        "the errors of a block are fatal",
        """
        - hosts: all
          tasks:
          - any_errors_fatal: true
            block:
            - {name: install, fail: {msg: disk full}, when: on_a}
          - {name: start, debug: }
        """,
        Outcome(
            NONE,
            "2 skipped, 1 failed",
            tasks=1,
            failures=[(A, "install", "disk full"), *failed_too([B, C], "install", "any_errors_fatal")],
        ),
    ),
    Row(
        "the one run of a task fails in the second batch",
        """
        - hosts: all
          serial: [1, 2]
          tasks:
          - {name: elect, fail: {msg: no quorum}, run_once: true, when: on_b}
          - {name: start, debug: }
        """,
        Outcome(
            [A],
            "1 skipped, 1 ok, 1 failed",
            tasks=3,
            failures=[
                (B, "elect", "no quorum"),
                (C, "elect", "failed on b-0, which fails this node, too (run_once)", None),
            ],
        ),
    ),
    Row(
        "too many nodes fail, but they are rescued",
        """
        - hosts: all
          max_fail_percentage: 0
          tasks:
          - block:
            - {name: install, fail: {msg: disk full}, when: on_a}
            rescue:
            - {name: repair, debug: }
          - {name: start, debug: }
        """,
        Outcome(ALL, "1 rescued, 2 skipped, 4 ok", tasks=3),
    ),
    Row(
        "a task before the roles fails",
        """
        - hosts: all
          pre_tasks:
          - {name: prepare, fail: {msg: disk full}, when: on_a}
          tasks:
          - {name: install, debug: }
          post_tasks:
          - {name: verify, fail: {msg: no answer}, when: on_b}
        """,
        Outcome(
            [C],
            "2 failed, 3 skipped, 2 ok",
            tasks=3,
            failures=[(A, "prepare", "disk full"), (B, "verify", "no answer")],
        ),
    ),
    Row(
        "the one run of a task is ignored",
        """
        - hosts: all
          tasks:
          - {name: elect, fail: {msg: no quorum}, run_once: true, ignore_errors: true}
          - {name: start, debug: }
        """,
        Outcome(ALL, "1 ignored, 3 ok", tasks=2),
    ),
    Row(
        "the one run of a task is rescued",
        """
        - hosts: all
          tasks:
          - block:
            - {name: is there one, fail: {msg: no database}, run_once: true}
            rescue:
            - {name: make it, debug: }
          - {name: start, debug: }
        """,
        Outcome([A], "1 rescued, 2 ok", tasks=3, failures=failed_too([B, C], "is there one", "run_once")),
        versions=Versions.EVERY,
    ),
]

META = [
    Row(
        "end_host before another node fails",
        """
        - hosts: all
          tasks:
          - {meta: end_host, when: on_a}
          - {name: install, fail: {msg: disk full}, when: on_b}
        """,
        Outcome([A, C], "1 failed, 3 skipped", tasks=2, failures=[(B, "install", "disk full")]),
        versions=Versions.EVERY,
    ),
    Row(
        "end_host in a rescue",
        """
        - hosts: all
          tasks:
          - block:
            - {name: install, fail: {msg: disk full}, when: on_a}
            rescue:
            - meta: end_host
          - {name: start, fail: {msg: no answer}, when: on_b}
        """,
        Outcome([A, C], "1 rescued, 3 skipped, 1 failed", tasks=3, failures=[(B, "start", "no answer")]),
    ),
    Row(
        "end_play on one node",
        """
        - hosts: all
          tasks:
          - {name: first, debug: }
          - {meta: end_play, when: on_a}
          - {name: second, fail: {msg: disk full}}
        """,
        Outcome(ALL, "3 ok", tasks=2),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "end_play after a failure",
        """
        - hosts: all
          tasks:
          - {name: first, fail: {msg: disk full}, when: on_a}
          - meta: end_play
          - {name: second, debug: }
        """,
        Outcome([B, C], "1 failed, 2 skipped", tasks=2, failures=[(A, "first", "disk full")]),
    ),
    Row(
        "end_batch in the first of two batches",
        """
        - hosts: all
          serial: 2
          tasks:
          - {meta: end_batch, when: on_a}
          - {name: install, debug: }
        """,
        Outcome(ALL, "1 skipped, 1 ok", tasks=3),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "end_role",
        """
        - hosts: all
          roles: [web]
          tasks:
          - {name: start, debug: }
        """,
        Outcome(ALL, "3 ok", tasks=2),
        files={
            "roles/web/tasks/main.yml": "- meta: end_role\n- {name: install, fail: {msg: disk full}}",
        },
        versions=Versions.ON_REQUEST,
        since="2.18",
    ),
    Row(
        "clear_host_errors",
        """
        - hosts: all
          tasks:
          - {name: install, fail: {msg: disk full}, when: on_a}
          - meta: clear_host_errors
        - hosts: all
          tasks:
          - {name: start, debug: }
        """,
        Outcome(ALL, "1 cleared, 2 skipped, 3 ok", tasks=3),
        versions=Versions.EVERY,
    ),
    Row(
        "clear_host_errors for two nodes",
        """
        - hosts: all
          tasks:
          - {name: install, fail: {msg: disk full}, when: not on_b}
          - meta: clear_host_errors
        - hosts: all
          tasks:
          - {name: start, debug: }
        """,
        Outcome(ALL, "2 cleared, 1 skipped, 3 ok", tasks=3),
    ),
    Row(
        "clear_host_errors for a node that was unreachable",
        """
        - hosts: all
          tasks:
          - {name: reach, ping: }
          - meta: clear_host_errors
        - hosts: all
          tasks:
          - {name: start, debug: }
        """,
        Outcome(ALL, "1 cleared, 5 ok", tasks=3),
        files=A_IS_UNREACHABLE,
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "meta tasks that change no outcome",
        """
        - hosts: all
          tasks:
          - meta: noop
          - meta: flush_handlers
          - meta: refresh_inventory
          - meta: reset_connection
          - meta: clear_facts
          - {name: install, debug: }
        - hosts: all
          tasks:
          - {name: start, debug: }
        """,
        Outcome(ALL, "6 ok", tasks=7),
        versions=Versions.ON_REQUEST,
    ),
]


@each_row(PLAYS)
def test_plays(runner: Runner, row: Row, version: str) -> None:
    runner.check(row, version)


@each_row(BATCHES)
def test_batches(runner: Runner, row: Row, version: str) -> None:
    runner.check(row, version)


@each_row(META)
def test_meta(runner: Runner, row: Row, version: str) -> None:
    runner.check(row, version)
