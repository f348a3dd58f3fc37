"""Outcomes of blocks with rescue and always, of what is imported and included in them, and of handlers."""

from support.outcomes import A_IS_UNREACHABLE, ALL, NONE, A, B, C, Outcome, Row, Runner, Versions, each_row

ROLE_THAT_FAILS = {"roles/web/tasks/main.yml": "- {name: install, fail: {msg: disk full}, when: on_a}"}
TASKS_THAT_FAIL = {"install.yml": "- {name: install, fail: {msg: disk full}, when: on_a}"}

BLOCKS = [
    Row(
        "a rescued failure",
        """
        - hosts: all
          tasks:
          - block:
            - {name: install, fail: {msg: disk full}, when: on_a}
            - {name: start, debug: }
            rescue:
            - {name: repair, debug: }
          - {name: report, debug: }
        """,
        Outcome(ALL, "1 rescued, 2 skipped, 6 ok", tasks=4),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a rescued failure, then one that is not",
        """
        - hosts: all
          tasks:
          - block:
            - {name: install, fail: {msg: disk full}, when: on_a}
            rescue:
            - {name: repair, debug: }
          - {name: start, fail: {msg: no answer}, when: on_a}
        """,
        Outcome([B, C], "1 rescued, 1 ok, 4 skipped, 1 failed", tasks=3, failures=[(A, "start", "no answer")]),
        versions=Versions.EVERY,
    ),
    Row(
        "a rescue that fails",
        """
        - hosts: all
          tasks:
          - block:
            - {name: install, fail: {msg: disk full}, when: on_a}
            rescue:
            - {name: repair, fail: {msg: beyond repair}}
            always:
            - {name: report, debug: }
        """,
        Outcome([B, C], "1 rescued, 2 skipped, 1 failed, 3 ok", tasks=3, failures=[(A, "repair", "beyond repair")]),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a failure with an always section alone",
        """
        - hosts: all
          tasks:
          - block:
            - {name: install, fail: {msg: disk full}, when: on_a}
            always:
            - {name: report, debug: }
          - {name: start, debug: }
        """,
        Outcome([B, C], "1 failed, 2 skipped, 5 ok", tasks=3, failures=[(A, "install", "disk full")]),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "an always section that fails",
        """
        - hosts: all
          tasks:
          - block:
            - {name: install, debug: }
            always:
            - {name: report, fail: {msg: no answer}, when: on_a}
        """,
        Outcome([B, C], "3 ok, 2 skipped, 1 failed", tasks=2, failures=[(A, "report", "no answer")]),
    ),
    Row(
        "an always section that fails after a rescue",
        """
        - hosts: all
          tasks:
          - block:
            - {name: install, fail: {msg: disk full}, when: on_a}
            rescue:
            - {name: repair, debug: }
            always:
            - {name: report, fail: {msg: no answer}, when: on_a}
        """,
        Outcome([B, C], "1 rescued, 4 skipped, 1 ok, 1 failed", tasks=3, failures=[(A, "report", "no answer")]),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "block and always section both fail",
        """
        - hosts: all
          tasks:
          - block:
            - {name: install, fail: {msg: disk full}, when: on_a}
            always:
            - {name: report, fail: {msg: no answer}, when: on_a}
        """,
        Outcome(
            [B, C],
            "2 failed, 4 skipped",
            tasks=2,
            failures=[(A, "install", "disk full"), (A, "report", "no answer")],
        ),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "an inner rescue fails and the outer one succeeds",
        """
        - hosts: all
          tasks:
          - block:
            - block:
              - {name: install, fail: {msg: disk full}, when: on_a}
              rescue:
              - {name: repair, fail: {msg: beyond repair}}
            rescue:
            - {name: replace, debug: }
          - {name: report, debug: }
        """,
        Outcome(ALL, "2 rescued, 2 skipped, 4 ok", tasks=4),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "the inner block has no rescue and the outer one has",
        """
        - hosts: all
          tasks:
          - block:
            - block:
              - {name: install, fail: {msg: disk full}, when: on_a}
              always:
              - {name: report, debug: }
            rescue:
            - {name: replace, debug: }
        """,
        Outcome(ALL, "1 rescued, 2 skipped, 4 ok", tasks=3),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a block with rescue within a rescue",
        """
        - hosts: all
          tasks:
          - block:
            - {name: install, fail: {msg: disk full}, when: on_a}
            rescue:
            - block:
              - {name: repair, fail: {msg: beyond repair}}
              rescue:
              - {name: replace, debug: }
        """,
        Outcome(ALL, "2 rescued, 2 skipped, 1 ok", tasks=3),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a block with rescue within the always section of a block that fails",
        """
        - hosts: all
          tasks:
          - block:
            - {name: deploy, fail: {msg: disk full}, when: on_a}
            always:
            - block:
              - import_tasks: install.yml
              rescue:
              - {name: repair, debug: }
        """,
        Outcome([B, C], "1 failed, 1 rescued, 4 skipped, 1 ok", tasks=3, failures=[(A, "deploy", "disk full")]),
        files={"install.yml": "- {name: install, fail: {msg: no answer}, when: on_a}"},
        versions=Versions.EVERY,
    ),
    Row(
        "a block with rescue within an always section, with an imported role",
        """
        - hosts: all
          tasks:
          - block:
            - {name: deploy, fail: {msg: out of memory}, when: on_a}
            always:
            - block:
              - import_role: {name: web}
              rescue:
              - {name: repair, debug: }
        """,
        Outcome([B, C], "1 failed, 1 rescued, 4 skipped, 1 ok", tasks=3, failures=[(A, "deploy", "out of memory")]),
        files=ROLE_THAT_FAILS,
    ),
    Row(
        "a failure that is ignored in a block with rescue",
        """
        - hosts: all
          tasks:
          - block:
            - {name: install, fail: {msg: disk full}, when: on_a, ignore_errors: true}
            rescue:
            - {name: repair, debug: }
          - {name: start, fail: {msg: no answer}, when: on_b}
        """,
        Outcome([A, C], "1 ignored, 4 skipped, 1 failed", tasks=2, failures=[(B, "start", "no answer")]),
    ),
    Row(
        "a block whose failures are ignored",
        """
        - hosts: all
          tasks:
          - ignore_errors: true
            block:
            - {name: install, fail: {msg: disk full}, when: on_a}
            - {name: start, debug: }
        """,
        Outcome(ALL, "1 ignored, 2 skipped, 3 ok", tasks=2),
    ),
    Row(
        "an unreachable node is not rescued",
        """
        - hosts: all
          tasks:
          - block:
            - {name: reach, ping: }
            rescue:
            - {name: repair, debug: }
            always:
            - {name: report, debug: }
        """,
        Outcome([B, C], "1 unreachable, 4 ok", tasks=2, failures=[(A, "reach", "127.0.0.1")]),
        files=A_IS_UNREACHABLE,
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "one node is rescued and another fails",
        """
        - hosts: all
          tasks:
          - block:
            - {name: install, fail: {msg: disk full}, when: on_a}
            rescue:
            - {name: repair, debug: }
          - {name: start, fail: {msg: no answer}, when: on_b}
        """,
        Outcome([A, C], "1 rescued, 4 skipped, 1 ok, 1 failed", tasks=3, failures=[(B, "start", "no answer")]),
        partial_success=False,
    ),
]

INCLUDES = [
    Row(
        "included tasks fail in a block with rescue",
        """
        - hosts: all
          tasks:
          - block:
            - {name: include, include_tasks: install.yml}
            rescue:
            - {name: repair, debug: }
        """,
        Outcome(ALL, "4 ok, 1 rescued, 2 skipped", tasks=3),
        files=TASKS_THAT_FAIL,
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "imported tasks fail in a block with rescue",
        """
        - hosts: all
          tasks:
          - block:
            - import_tasks: install.yml
            rescue:
            - {name: repair, debug: }
        """,
        Outcome(ALL, "1 ok, 1 rescued, 2 skipped", tasks=2),
        files=TASKS_THAT_FAIL,
    ),
    Row(
        "included tasks fail",
        """
        - hosts: all
          tasks:
          - {name: include, include_tasks: install.yml}
          - {name: start, debug: }
        """,
        Outcome([B, C], "5 ok, 1 failed, 2 skipped", tasks=3, failures=[(A, "install", "disk full")]),
        files=TASKS_THAT_FAIL,
    ),
    Row(
        "a loop of included tasks fails in its second round",
        """
        - hosts: all
          tasks:
          - {name: include, include_tasks: disk.yml, loop: [sda, sdb]}
        """,
        Outcome([B, C], "3 ok, 5 skipped, 1 failed", tasks=3, failures=[(A, "format", "sdb is full")]),
        files={
            "disk.yml": """
            - name: format
              fail: {msg: "{{ item }} is full"}
              when: item == 'sdb' and on_a
            """
        },
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "the file of included tasks is missing in a block with rescue",
        """
        - hosts: all
          tasks:
          - block:
            - {name: include, include_tasks: absent.yml}
            rescue:
            - {name: repair, debug: }
          - {name: start, debug: }
        """,
        Outcome(ALL, "3 failed, 6 ok", tasks=3),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "the file of included tasks is missing in a block with rescue, and another node fails",
        """
        - hosts: all
          tasks:
          - block:
            - {name: include, include_tasks: absent.yml, when: on_a}
            rescue:
            - {name: repair, debug: }
          - {name: start, fail: {msg: no answer}, when: on_b}
        """,
        Outcome([A, C], "2 failed, 4 skipped, 1 ok", tasks=3, failures=[(B, "start", "no answer")]),
        versions=Versions.EVERY,
    ),
    Row(
        "the file of included tasks is missing",
        """
        - hosts: all
          tasks:
          - {name: include, include_tasks: absent.yml, when: on_a}
          - {name: start, debug: }
        """,
        Outcome([B, C], "1 failed, 2 skipped, 2 ok", tasks=2, failures=[(A, "include", "absent.yml")]),
    ),
    Row(
        "a module that does not exist in included tasks",
        """
        - hosts: all
          tasks:
          - {name: include, include_tasks: install.yml, when: on_a}
          - {name: start, debug: }
        """,
        Outcome(NONE, "2 skipped, 1 ok", tasks=1, error="couldn't resolve module/action 'no_such_module'"),
        files={"install.yml": "- {name: install, no_such_module: }"},
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a role that fails",
        """
        - hosts: all
          roles: [web]
          tasks:
          - {name: start, debug: }
        """,
        Outcome([B, C], "1 failed, 2 skipped, 2 ok", tasks=2, failures=[(A, "web : install", "disk full")]),
        files=ROLE_THAT_FAILS,
    ),
    Row(
        "a dependency of a role fails",
        """
        - hosts: all
          roles: [site]
        """,
        Outcome([B, C], "1 failed, 2 skipped, 2 ok", tasks=2, failures=[(A, "web : install", "disk full")]),
        files={
            **ROLE_THAT_FAILS,
            "roles/site/meta/main.yml": "dependencies: [web]",
            "roles/site/tasks/main.yml": "- {name: start, debug: }",
        },
    ),
    Row(
        "an included role fails in a block with rescue",
        """
        - hosts: all
          tasks:
          - block:
            - {name: include, include_role: {name: web}}
            rescue:
            - {name: repair, include_role: {name: repair}}
        """,
        Outcome(ALL, "5 ok, 1 rescued, 2 skipped", tasks=4),
        files={**ROLE_THAT_FAILS, "roles/repair/tasks/main.yml": "- {name: replace, debug: }"},
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "an included role does not exist, in a block with rescue",
        """
        - hosts: all
          tasks:
          - block:
            - {name: include, include_role: {name: absent}}
            rescue:
            - {name: repair, debug: }
        """,
        Outcome(ALL, "3 failed, 3 ok", tasks=2),
        versions=Versions.ON_REQUEST,
    ),
]

HANDLERS = [
    Row(
        "a handler fails",
        """
        - hosts: all
          tasks:
          - {name: install, debug: , changed_when: true, notify: restart}
          handlers:
          - {name: restart, fail: {msg: no answer}, when: on_a}
        """,
        Outcome([B, C], "3 changed, 2 skipped, 1 failed", tasks=2, failures=[(A, "restart", "no answer")]),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "handlers that listen to a topic, of which one fails",
        """
        - hosts: all
          tasks:
          - {name: install, debug: , changed_when: on_a, notify: web}
          handlers:
          - {name: reload, debug: , listen: web}
          - {name: restart, fail: {msg: no answer}, listen: web}
        """,
        Outcome([B, C], "1 changed, 3 ok, 1 failed", tasks=3, failures=[(A, "restart", "no answer")]),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a handler that fails when flushed in a block with rescue",
        """
        - hosts: all
          tasks:
          - block:
            - {name: install, debug: , changed_when: true, notify: restart}
            - meta: flush_handlers
            rescue:
            - {name: repair, debug: }
          - {name: start, debug: }
          handlers:
          - {name: restart, fail: {msg: no answer}, when: on_a}
        """,
        Outcome(ALL, "3 changed, 2 skipped, 1 rescued, 4 ok", tasks=5),
        older=Outcome(ALL, "3 changed, 2 skipped, 1 failed, 4 ok", tasks=5),  # counted as failed, though it is rescued
        versions=Versions.EVERY,
    ),
    Row(
        "a handler with a rescue section, which ansible ignores",
        """
        - hosts: all
          tasks:
          - {name: install, debug: , changed_when: true, notify: restart}
          handlers:
          - name: restart
            include_tasks: restart.yml
        """,
        Outcome([B, C], "4 ok, 3 changed, 1 failed, 3 skipped", tasks=4, failures=[(A, "stop", "no answer")]),
        files={
            "restart.yml": """
            - block:
              - {name: stop, fail: {msg: no answer}, when: on_a}
              rescue:
              - {name: kill, debug: }
            - {name: start, debug: , when: on_b}
            """
        },
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "handlers run after a failure if they are forced",
        """
        - hosts: all
          force_handlers: true
          tasks:
          - {name: install, debug: , changed_when: true, notify: restart}
          - {name: start, fail: {msg: disk full}, when: on_a}
          handlers:
          - {name: restart, debug: }
        """,
        Outcome([B, C], "3 changed, 2 skipped, 1 failed, 3 ok", tasks=3, failures=[(A, "start", "disk full")]),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a forced handler fails, too",
        """
        - hosts: all
          force_handlers: true
          tasks:
          - {name: install, debug: , changed_when: on_a, notify: restart}
          - {name: start, fail: {msg: disk full}, when: on_a}
          handlers:
          - {name: restart, fail: {msg: no answer}}
        """,
        Outcome(
            [B, C],
            "1 changed, 2 ok, 2 skipped, 2 failed",
            tasks=3,
            failures=[(A, "start", "disk full"), (A, "restart", "no answer")],
        ),
        versions=Versions.ON_REQUEST,
    ),
]


@each_row(BLOCKS)
def test_blocks(runner: Runner, row: Row, version: str) -> None:
    runner.check(row, version)


@each_row(INCLUDES)
def test_includes(runner: Runner, row: Row, version: str) -> None:
    runner.check(row, version)


@each_row(HANDLERS)
def test_handlers(runner: Runner, row: Row, version: str) -> None:
    runner.check(row, version)
