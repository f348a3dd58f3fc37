"""Outcomes under each strategy, stdout callback and form of output, which change order and form of all lines."""

from dataclasses import replace

from support.outcomes import A_IS_UNREACHABLE, NONE, A, B, C, Outcome, Row, Runner, Versions, each_row

SITE = """
- hosts: all
  strategy: {strategy}
  tasks:
  - {{name: prepare, debug: }}
  - {{name: probe, fail: {{msg: not there}}, when: on_a, ignore_errors: true}}
  - block:
    - {{name: install, fail: {{msg: disk full}}, when: on_b}}
    rescue:
    - {{name: repair, debug: }}
  - {{name: format, fail: {{msg: "{{{{ item }}}} is full"}}, loop: [sda, sdb], when: on_c and item == 'sdb'}}
  - {{name: reach, ping: }}
  - {{name: start, debug: }}
"""
OUTCOME = Outcome(
    [B],
    "6 ok, 1 ignored, 6 skipped, 1 rescued, 1 failed, 1 unreachable",
    tasks=7,
    failures=[(C, "format", "sdb is full"), (A, "reach", "127.0.0.1")],
)

STRATEGIES = [
    Row(
        f"strategy {strategy}",
        SITE.format(strategy=strategy),
        OUTCOME,
        files=A_IS_UNREACHABLE,
        versions=Versions.ON_REQUEST,
    )
    for strategy in ("linear", "free", "host_pinned")
] + [
    Row(
        "strategy debug, without a terminal",
        """
        - hosts: a-0
          strategy: debug
          tasks:
          - {name: install, fail: {msg: disk full}}
        - hosts: all
        """,
        Outcome(NONE, "1 failed", tasks=1, failures=[(A, "install", "disk full")]),
    ),
    Row(
        "strategy free in batches",
        """
        - hosts: all
          strategy: free
          serial: 2
          tasks:
          - {name: install, fail: {msg: disk full}, when: on_a}
          - {name: start, debug: }
        """,
        Outcome([B, C], "1 failed, 2 skipped, 2 ok", tasks=4, failures=[(A, "install", "disk full")]),
    ),
    Row(
        "strategy free with handlers",
        """
        - hosts: all
          strategy: free
          tasks:
          - {name: install, debug: , changed_when: true, notify: restart}
          handlers:
          - {name: restart, fail: {msg: no answer}, when: on_b}
        """,
        Outcome([A, C], "3 changed, 2 skipped, 1 failed", tasks=2, failures=[(B, "restart", "no answer")]),
        versions=Versions.ON_REQUEST,
    ),
]

CALLBACKS = [
    Row(
        f"{name}, strategy {strategy}",
        SITE.format(strategy=strategy),
        OUTCOME,
        config=config,
        files=A_IS_UNREACHABLE,
        versions=versions,
    )
    for name, config, versions in (
        ("minimal", "stdout_callback = minimal", Versions.ON_REQUEST),
        ("oneline", "stdout_callback = oneline", Versions.ON_REQUEST),
        ("yaml results", "[callback_default]\nresult_format = yaml", Versions.ON_REQUEST),
        ("colour", "force_color = true", Versions.ON_REQUEST),
        ("no skipped hosts", "display_skipped_hosts = false", Versions.ON_REQUEST),
        ("no ok hosts", "display_ok_hosts = false\ndisplay_skipped_hosts = false", Versions.ON_REQUEST),
        ("failures on stderr", "display_failed_stderr = true", Versions.PINNED),
        ("verbose", "verbosity = 3", Versions.PINNED),
    )
    for strategy in ("linear", "free")
]
CALLBACKS.append(
    Row(
        "a callback that writes nothing before the end",
        SITE.format(strategy="linear"),
        replace(OUTCOME, failures=[(C, "format", "sdb is full", None), (A, "reach", "127.0.0.1", None)]),
        config="stdout_callback = at_the_end",
        files={
            **A_IS_UNREACHABLE,
            "callback_plugins/at_the_end.py": """
            import json
            from ansible.plugins.callback import CallbackBase

            DOCUMENTATION = "{name: at_the_end, type: stdout, short_description: writes all results at the end}"

            class CallbackModule(CallbackBase):
                CALLBACK_TYPE = "stdout"
                CALLBACK_NAME = "at_the_end"

                def v2_playbook_on_stats(self, stats):
                    counts = {node: stats.summarize(node) for node in stats.processed}
                    self._display.display(json.dumps(counts, indent=4))
            """,
        },
        versions=Versions.ON_REQUEST,
    )
)


@each_row(STRATEGIES)
def test_strategies(runner: Runner, row: Row, version: str) -> None:
    runner.check(row, version)


@each_row(CALLBACKS)
def test_callbacks(runner: Runner, row: Row, version: str) -> None:
    runner.check(row, version)
