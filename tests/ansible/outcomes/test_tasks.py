"""Outcomes of tasks: loops, retries, asynchronous and delegated tasks, names, connections and modules."""

from support.outcomes import A_IS_UNREACHABLE, ALL, NONE, A, B, C, Outcome, Row, Runner, Versions, each_row

NO_LOG = "the output has been hidden due to the fact that 'no_log: true' was specified for this result"

CONTROL = [
    Row(
        "an ignored failure",
        """
        - hosts: all
          tasks:
          - {name: install, fail: {msg: disk full}, when: on_a, ignore_errors: true}
          - {name: start, debug: }
        """,
        Outcome(ALL, "1 ignored, 2 skipped, 3 ok", tasks=2),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "an ignored failure, then one that is not",
        """
        - hosts: all
          tasks:
          - {name: install, fail: {msg: disk full}, when: on_a, ignore_errors: true}
          - {name: start, fail: {msg: no answer}, when: on_a}
        """,
        Outcome([B, C], "1 ignored, 4 skipped, 1 failed", tasks=2, failures=[(A, "start", "no answer")]),
    ),
    Row(
        "a condition for the failure",
        """
        - hosts: all
          tasks:
          - {name: install, debug: {msg: 3 errors}, failed_when: on_a}
        """,
        Outcome([B, C], "2 ok, 1 failed", tasks=1, failures=[(A, "install", "3 errors")]),
    ),
    Row(
        "an assertion",
        """
        - hosts: all
          tasks:
          - {name: check, assert: {that: not on_a, fail_msg: this is node A}}
        """,
        Outcome([B, C], "2 ok, 1 failed", tasks=1, failures=[(A, "check", "this is node A")]),
    ),
    Row(
        "an undefined variable",
        """
        - hosts: all
          tasks:
          - {name: say, debug: {msg: "{{ no_such_variable }}"}, when: on_a}
        """,
        Outcome([B, C], "2 skipped, 1 failed", tasks=1, failures=[(A, "say", "'no_such_variable' is undefined")]),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "an undefined variable in a condition",
        """
        - hosts: all
          tasks:
          - {name: say, debug: , when: no_such_variable}
        """,
        Outcome(
            NONE,
            "3 failed",
            tasks=1,
            failures=[(node, "say", "'no_such_variable' is undefined") for node in (A, B, C)],
        ),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a check",
        """
        - hosts: all
          tasks:
          - {name: install, command: /bin/false}
          - {name: verify, fail: {msg: disk full}, when: on_a}
        """,
        Outcome([B, C], "5 skipped, 1 failed", tasks=2, failures=[(A, "verify", "disk full")]),
        check=True,
    ),
    Row(
        "throttled",
        """
        - hosts: all
          tasks:
          - {name: install, fail: {msg: disk full}, when: on_b, throttle: 1}
        """,
        Outcome([A, C], "2 skipped, 1 failed", tasks=1, failures=[(B, "install", "disk full")]),
    ),
    Row(
        "a question, where nobody can answer",
        """
        - hosts: all
          vars_prompt: [{name: release, default: "12"}]
          tasks:
          - {name: install, fail: {msg: "no release {{ release }}"}, when: on_a}
        """,
        Outcome([B, C], "2 skipped, 1 failed", tasks=1, failures=[(A, "install", "no release 12")]),
    ),
    Row(
        "facts cannot be gathered",
        """
        - hosts: all
          gather_facts: true
          gather_subset: [min]
          tasks:
          - {name: start, debug: }
        """,
        Outcome([B, C], "4 ok, 1 failed", tasks=2, failures=[(A, "Gathering Facts", "modules failed to execute")]),
        files={"host_vars/a-0.yml": "ansible_python_interpreter: /no/such/python"},
    ),
    Row(
        "facts of an unreachable node",
        """
        - hosts: all
          gather_facts: true
          gather_subset: [min]
          tasks:
          - {name: start, debug: }
        """,
        Outcome([B, C], "4 ok, 1 unreachable", tasks=2, failures=[(A, "Gathering Facts", "127.0.0.1")]),
        files=A_IS_UNREACHABLE,
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "an unreachable node after a task that needs no connection",
        """
        - hosts: all
          tasks:
          - {name: say, debug: }
          - {name: reach, ping: }
          - {name: start, debug: }
        """,
        Outcome([B, C], "7 ok, 1 unreachable", tasks=3, failures=[(A, "reach", "127.0.0.1")]),
        files=A_IS_UNREACHABLE,
    ),
    Row(
        "an ignored unreachable node",
        """
        - hosts: all
          tasks:
          - {name: reach, ping: , ignore_unreachable: true}
          - {name: start, debug: }
        """,
        Outcome(ALL, "5 ok, 1 ignored", tasks=2),
        files=A_IS_UNREACHABLE,
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a play that ignores unreachable nodes and takes only them",
        """
        - hosts: a-0
          ignore_unreachable: true
          tasks:
          - {name: reach, ping: }
        - hosts: all:!a-0
          tasks:
          - {name: start, debug: }
        """,
        Outcome(ALL, "2 ok, 1 ignored", tasks=2),
        files=A_IS_UNREACHABLE,
    ),
]

LOOPS = [
    Row(
        "an item of a loop fails",
        """
        - hosts: all
          tasks:
          - {name: format, fail: {msg: "{{ item }} is full"}, loop: [sda, sdb, sdc], when: on_a and item == 'sdb'}
        """,
        Outcome([B, C], "2 skipped, 1 failed", tasks=1, failures=[(A, "format", "sdb is full")]),
        versions=Versions.EVERY,
    ),
    Row(
        "an item of a loop is ignored",
        """
        - hosts: all
          tasks:
          - {name: format, fail: {msg: "{{ item }} is full"}, loop: [sda, sdb], ignore_errors: true}
        """,
        Outcome(ALL, "3 ignored", tasks=1),
    ),
    Row(
        "an empty loop",
        """
        - hosts: all
          tasks:
          - {name: format, fail: {msg: full}, loop: []}
        """,
        Outcome(ALL, "3 skipped", tasks=1),
    ),
    Row(
        "what a loop is to go through is undefined",
        """
        - hosts: all
          tasks:
          - {name: format, debug: , loop: "{{ disks }}", when: on_a}
        """,
        Outcome([B, C], "2 skipped, 1 failed", tasks=1, failures=[(A, "format", "'disks' is undefined")]),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "retries are used up",
        """
        - hosts: all
          tasks:
          - {name: ask, debug: {msg: not yet}, register: asked, until: not on_a, retries: 2, delay: 0}
        """,
        Outcome([B, C], "2 ok, 1 failed", tasks=1, failures=[(A, "ask", "not yet")]),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a retry succeeds",
        """
        - hosts: all
          tasks:
          - {name: ask, command: /bin/true, register: asked, until: asked.attempts > 1, retries: 2, delay: 0}
        """,
        Outcome(ALL, "3 changed", tasks=1),
    ),
    Row(
        "retries of an item of a loop are used up",
        """
        - hosts: all
          tasks:
          - name: ask
            debug: {msg: "{{ item }} is not ready"}
            loop: [sda, sdb]
            register: asked
            until: item == 'sda' or not on_a
            retries: 1
            delay: 0
        """,
        Outcome([B, C], "2 ok, 1 failed", tasks=1, failures=[(A, "ask", "sdb is not ready")]),
    ),
]

ASYNCHRONOUS = [
    Row(
        "an asynchronous task that is polled",
        """
        - hosts: all
          tasks:
          - {name: build, command: "sleep {{ 2 if on_a else 0.1 }}", async: 20, poll: 1}
        """,
        Outcome(ALL, "3 changed", tasks=1),
        versions=Versions.EVERY,
    ),
    Row(
        "an asynchronous task that fails",
        """
        - hosts: a-0
          tasks:
          - {name: build, shell: "echo disk full; exit 3", async: 20, poll: 1}
        - hosts: all
        """,
        Outcome([], "1 failed", tasks=1, failures=[(A, "build", "disk full")]),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "an asynchronous task that takes too long",
        """
        - hosts: all
          tasks:
          # The process that ansible leaves on the node ends the command before the only poll.
          - {name: build, command: sleep 60, async: 1, poll: 4, when: on_a}
        """,
        Outcome([B, C], "2 skipped, 1 failed", tasks=1, failures=[(A, "build", "Timeout exceeded")]),
    ),
    Row(
        "an asynchronous task that is asked for later",
        """
        - hosts: all
          tasks:
          - {name: build, shell: "echo disk full; exit {{ 3 if on_a else 0 }}", async: 20, poll: 0, register: build}
          - name: await
            async_status: {jid: "{{ build.ansible_job_id }}"}
            register: built
            until: built is finished
            retries: 50
            delay: 0.2
        """,
        Outcome([B, C], "5 changed, 1 failed", tasks=2, failures=[(A, "await", "disk full")]),
        versions=Versions.ON_REQUEST,
    ),
]

DELEGATED = [
    Row(
        "a task delegated to this machine fails",
        """
        - hosts: all
          tasks:
          - {name: register, command: /bin/false, delegate_to: localhost, when: on_a}
        """,
        Outcome([B, C], "2 skipped, 1 failed", tasks=1, failures=[(A, "register", "non-zero return code")]),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a task delegated to another node fails",
        """
        - hosts: a-0:b-0
          tasks:
          - {name: register, fail: {msg: "{{ inventory_hostname }} is unknown"}, delegate_to: c-0, when: on_b}
        - hosts: all
          tasks:
          - {name: share, set_fact: {key: x}, delegate_to: b-0, delegate_facts: true, when: on_a}
        """,
        Outcome(
            [A, C],
            "2 skipped, 1 ok, 1 failed",
            tasks=2,
            failures=[(B, "register", "b-0 is unknown")],
        ),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a task delegated to an unreachable node",
        """
        - hosts: all
          tasks:
          - {name: register, ping: , delegate_to: a-0, when: on_b}
          - {name: start, debug: }
        """,
        Outcome([A, C], "2 skipped, 1 unreachable, 2 ok", tasks=2, failures=[(B, "register", "127.0.0.1")]),
        files=A_IS_UNREACHABLE,
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a play on one node that works for the others",
        """
        - hosts: all
          tasks:
          - {name: register, debug: {msg: "{{ item }}"}, delegate_to: "{{ item }}", loop: [a-0, b-0], run_once: true}
        """,
        Outcome(ALL, "1 ok", tasks=1),
    ),
]

NAMES = [
    Row(
        "names that are no texts",
        """
        - name: 2024
          hosts: all
          tasks:
          - {name: on, debug: }
          - {name: 12.5, debug: , when: on_a}
          - {name: 2024-01-31, fail: {msg: disk full}, when: on_a}
        """,
        Outcome([B, C], "4 ok, 4 skipped, 1 failed", tasks=3, failures=[(A, "2024-01-31", "disk full")]),
        older=Outcome([B, C], "4 ok, 4 skipped, 1 failed", tasks=3, failures=[(A, "fail", "disk full")]),  # not shown
        versions=Versions.EVERY,
    ),
    Row(
        "names and messages in many scripts",
        """
        - name: Überprüfung
          hosts: all
          tasks:
          - {name: 安装 🚀, fail: {msg: "Festplatte überhitzt: 磁盘已满"}, when: on_a}
        """,
        Outcome([B, C], "2 skipped, 1 failed", tasks=1, failures=[(A, "安装 🚀", "Festplatte überhitzt: 磁盘已满")]),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a task without a name",
        """
        - hosts: all
          tasks:
          - fail: {msg: disk full}
            when: on_a
        """,
        Outcome([B, C], "2 skipped, 1 failed", tasks=1, failures=[(A, "fail", "disk full")]),
    ),
    Row(
        "tasks of the same name, of which one fails",
        """
        - hosts: all
          tasks:
          - {name: install, debug: }
          - {name: install, fail: {msg: disk full}, when: on_a}
          - {name: install, debug: }
        """,
        Outcome([B, C], "5 ok, 2 skipped, 1 failed", tasks=3, failures=[(A, "install", "disk full")]),
    ),
    Row(
        "a name that is a template",
        """
        - hosts: all
          vars: {disk: sda}
          tasks:
          - {name: "format {{ disk }}", fail: {msg: disk full}, when: on_a}
        """,
        Outcome([B, C], "2 skipped, 1 failed", tasks=1, failures=[(A, "format sda", "disk full")]),
    ),
    Row(
        "a message of several lines",
        """
        - hosts: all
          tasks:
          - {name: install, fail: {msg: "disk full\\nof what?\\n"}, when: on_a}
        """,
        Outcome(
            [B, C],
            "2 skipped, 1 failed",
            tasks=1,
            failures=[(A, "install", "disk full\nof what?")],
            error="disk full of what?",
        ),
    ),
    Row(
        "a secret message",
        """
        - hosts: all
          tasks:
          - {name: log in, fail: {msg: hunter2}, when: on_a, no_log: true}
        """,
        Outcome([B, C], "2 skipped, 1 failed", tasks=1, failures=[(A, "log in", NO_LOG)]),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a message of a megabyte",
        """
        - hosts: all
          tasks:
          - {name: install, fail: {msg: "{{ 'disk full ' * 100000 }}"}, when: on_a}
        """,
        Outcome([B, C], "2 skipped, 1 failed", tasks=1, failures=[(A, "install", "disk full disk full")]),
    ),
]

MODULES = [
    Row(
        "a module that prints junk around its result",
        """
        - hosts: all
          tasks:
          - {name: probe, junk: }
          - {name: start, debug: }
        """,
        Outcome(ALL, "6 ok", tasks=2),
        files={
            "library/junk.py": "#!/usr/bin/python\nprint('junk')\nprint('{\"changed\": false}')\nprint('more junk')"
        },
    ),
    Row(
        "a module that prints no result",
        """
        - hosts: all
          tasks:
          - {name: probe, junk: , when: on_a}
        """,
        Outcome([B, C], "2 skipped, 1 failed", tasks=1, failures=[(A, "probe", "junk")]),
        files={"library/junk.py": "#!/usr/bin/python\nprint('junk')"},
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a module that crashes",
        """
        - hosts: all
          tasks:
          - {name: probe, crash: , when: on_a}
        """,
        Outcome([B, C], "2 skipped, 1 failed", tasks=1, failures=[(A, "probe", "ZeroDivisionError")]),
        files={"library/crash.py": "#!/usr/bin/python\n1 / 0"},
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a module that says neither what changed nor what failed",
        """
        - hosts: all
          tasks:
          - {name: probe, quiet: }
        """,
        Outcome(ALL, "3 ok", tasks=1),
        files={"library/quiet.py": "#!/usr/bin/python\nprint('{}')"},
    ),
    Row(
        "a command that does not exist",
        """
        - hosts: all
          tasks:
          - {name: install, command: /no/such/command, when: on_a}
        """,
        Outcome([B, C], "2 skipped, 1 failed", tasks=1, failures=[(A, "install", "Error executing command")]),
    ),
    Row(
        "a template that is missing",
        """
        - hosts: all
          tasks:
          - {name: configure, template: {src: absent.j2, dest: /dev/null}, when: on_a}
        """,
        Outcome([B, C], "2 skipped, 1 failed", tasks=1, failures=[(A, "configure", "absent.j2")]),
    ),
    Row(
        "output that looks like records, banners and failures",
        """
        - hosts: all
          tasks:
          - name: say
            debug: {msg: "fatal: [b-0]: FAILED! => {}\\nTASK [x] ***\\n\\u001e0 {\\"event\\": \\"stats\\"}"}
        """,
        Outcome(ALL, "3 ok", tasks=1),
    ),
]


@each_row(CONTROL)
def test_control(runner: Runner, row: Row, version: str) -> None:
    runner.check(row, version)


@each_row(LOOPS)
def test_loops(runner: Runner, row: Row, version: str) -> None:
    runner.check(row, version)


@each_row(ASYNCHRONOUS)
def test_asynchronous(runner: Runner, row: Row, version: str) -> None:
    runner.check(row, version)


@each_row(DELEGATED)
def test_delegated(runner: Runner, row: Row, version: str) -> None:
    runner.check(row, version)


@each_row(NAMES)
def test_names(runner: Runner, row: Row, version: str) -> None:
    runner.check(row, version)


@each_row(MODULES)
def test_modules(runner: Runner, row: Row, version: str) -> None:
    runner.check(row, version)
