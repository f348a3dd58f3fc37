"""Outcomes of playbooks that ansible refuses to run, or gives up: the reason of a job is what ansible says."""

from support.outcomes import ALL, NONE, A, Outcome, Row, Runner, Versions, each_row

INSTALL = "{name: install, debug: }"

PLAYBOOKS = [
    Row(
        "a syntax error",
        """
        - hosts: all
          tasks:
          - name: [
        """,
        Outcome(NONE, error="cleanup.yml"),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "an empty playbook",
        "# nothing",
        Outcome(NONE, error="playbook"),
    ),
    Row(
        "a playbook that is no list",
        "hosts: all",
        Outcome(NONE, error="playbook must be a list of plays"),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a play without hosts",
        """
        - tasks:
          - {name: install, debug: }
        """,
        Outcome(NONE, error="field 'hosts' is required but was not set"),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a play with an unknown keyword",
        """
        - hosts: all
          taskz: []
        """,
        Outcome(NONE, error="'taskz' is not a valid attribute for a Play"),
    ),
    Row(
        "a module that does not exist",
        """
        - hosts: all
          tasks:
          - {name: install, debugg: }
        """,
        Outcome(NONE, error="couldn't resolve module/action 'debugg'"),
        versions=Versions.EVERY,
    ),
    Row(
        "a module that does not exist, in colour",
        """
        - hosts: all
          tasks:
          - {name: install, debugg: }
        """,
        Outcome(NONE, error="couldn't resolve module/action 'debugg'"),
        config="force_color = true",
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a role that does not exist",
        """
        - hosts: all
          roles: [absent]
        """,
        Outcome(NONE, error="role 'absent' was not found"),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "imported tasks that do not exist",
        """
        - hosts: all
          tasks:
          - import_tasks: absent.yml
        """,
        Outcome(NONE, error="absent.yml"),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "an imported playbook that does not exist",
        "- import_playbook: absent.yml",
        Outcome(NONE, error="absent.yml"),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a file of variables that does not exist",
        """
        - hosts: all
          vars_files: [absent.yml]
          tasks:
          - {name: install, debug: }
        """,
        Outcome(ALL, "3 ok", tasks=1),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "an encrypted file of variables without a password",
        """
        - hosts: all
          vars_files: [secrets.yml]
          tasks:
          - {name: install, debug: }
        """,
        Outcome(NONE, error="no vault secrets"),
        files={"secrets.yml": "$ANSIBLE_VAULT;1.1;AES256\n6162\n"},
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "hosts that are undefined",
        """
        - hosts: "{{ rack_group }}"
          tasks:
          - {name: install, debug: }
        """,
        Outcome(NONE, error="'rack_group' is undefined"),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "hosts that are undefined, after an ignored failure",
        """
        - hosts: all
          tasks:
          - {name: maybe there, fail: {msg: not there}, ignore_errors: true}
        - hosts: "{{ rack_group }}"
        """,
        Outcome(NONE, "3 ignored", tasks=1, error="'rack_group' is undefined"),
        versions=Versions.EVERY,
    ),
    Row(
        "hosts that are undefined, after a rescued failure",
        """
        - hosts: all
          tasks:
          - block:
            - {name: install, fail: {msg: disk full}, when: on_a}
            rescue:
            - {name: repair, debug: }
        - hosts: "{{ rack_group }}"
        """,
        Outcome(NONE, "1 rescued, 2 skipped, 1 ok", tasks=2, error="'rack_group' is undefined"),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "hosts that are undefined, after a failure of one node",
        """
        - hosts: all
          tasks:
          - {name: install, fail: {msg: disk full}, when: on_a}
        - hosts: "{{ rack_group }}"
        """,
        Outcome(
            NONE,
            "1 failed, 2 skipped",
            tasks=1,
            failures=[(A, "install", "disk full")],
            error="'rack_group' is undefined",
        ),
    ),
]

CONFIGURATIONS = [
    Row(
        "only the plugin of ini inventories is enabled",
        """
        - hosts: all
          tasks:
          - {name: install, debug: }
        """,
        Outcome(ALL, "3 ok", tasks=1),
        config="[inventory]\nenable_plugins = ini",
        versions=Versions.EVERY,
    ),
    Row(
        "a configuration that is cut off",
        f"- {{hosts: all, tasks: [{INSTALL}]}}",
        Outcome(NONE, error="Error reading config file"),
        files={"ansible.cfg": "[defaults"},
        versions=Versions.EVERY,
    ),
    Row(
        "a number that is none",
        f"- {{hosts: all, tasks: [{INSTALL}]}}",
        Outcome(NONE, error="'many'"),
        config="forks = many",
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a callback that does not exist",
        f"- {{hosts: all, tasks: [{INSTALL}]}}",
        Outcome(NONE, error="no_such_callback"),
        config="stdout_callback = no_such_callback",
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a strategy that does not exist",
        f"- {{hosts: all, strategy: no_such_strategy, tasks: [{INSTALL}]}}",
        Outcome(NONE, error="no_such_strategy"),
        versions=Versions.ON_REQUEST,
    ),
    Row(
        "a vault password file that does not exist",
        f"- {{hosts: all, tasks: [{INSTALL}]}}",
        Outcome(NONE, error="no_such_file"),
        config="vault_password_file = /no_such_file",
    ),
]


@each_row(PLAYBOOKS)
def test_playbooks(runner: Runner, row: Row, version: str) -> None:
    runner.check(row, version)


@each_row(CONFIGURATIONS)
def test_configurations(runner: Runner, row: Row, version: str) -> None:
    runner.check(row, version)
