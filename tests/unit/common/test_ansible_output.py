"""Errors and banners in texts that ansible-core printed; `before` is 2.17 and 2.18, `since` is 2.19 and newer."""

import pytest

from clusterm.common.ansible_output import MAX_ERROR, final_error, is_banner, plain

IGNORED = """
TASK [maybe there] *************************************************************
[ERROR]: Task failed: Module failed: non-zero return code
Origin: /srv/site.yml:4:5

4   - {name: maybe there, command: /bin/false, ignore_errors: true}
      ^ column 5

fatal: [a-0]: FAILED! => {"changed": true, "cmd": ["/bin/false"], "msg": "non-zero return code", "rc": 1}
...ignoring
"""

ERRORS = {
    "undefined hosts, before": (
        """
ERROR! The field 'hosts' has an invalid value, which includes an undefined variable.. 'rack_group' is undefined

The error appears to be in '/srv/site.yml': line 5, column 3, but may
be elsewhere in the file depending on the exact syntax problem.

The offending line appears to be:

  - {name: maybe there, command: /bin/false, ignore_errors: true}
- hosts: '{{ rack_group }}'
  ^ here
We could be wrong, but this one looks like it might be an issue with
missing quotes. Always quote template expression brackets when they
start a value. For instance:

    with_items:
      - {{ foo }}
""",
        (
            "The field 'hosts' has an invalid value, which includes an undefined variable.. 'rack_group' is undefined "
            "(/srv/site.yml:5:3)"
        ),
    ),
    "undefined hosts, since": (
        IGNORED + "[ERROR]: Error processing keyword 'name': 'rack_group' is undefined\n"
        "Origin: /srv/site.yml:5:10\n\n5 - hosts: '{{ rack_group }}'\n           ^ column 10\n\n",
        "Error processing keyword 'name': 'rack_group' is undefined (/srv/site.yml:5:10)",
    ),
    "syntax, before": (
        """
ERROR! We were unable to read either as JSON nor YAML, these are the errors we got from each:
JSON: Expecting value: line 1 column 1 (char 0)

Syntax Error while loading YAML.
  mapping values are not allowed in this context

The error appears to be in '/srv/site.yml': line 3, column 17, but may
be elsewhere in the file depending on the exact syntax problem.
""",
        (
            "We were unable to read either as JSON nor YAML, these are the errors we got from each: JSON: Expecting "
            "value: line 1 column 1 (char 0) Syntax Error while loading YAML. mapping values are not allowed in this "
            "context (/srv/site.yml:3:17)"
        ),
    ),
    "syntax, since": (
        """
[ERROR]: YAML parsing failed: Colons in unquoted values must be followed by a non-space character.
Origin: /srv/site.yml:3:17

3   - debug: msg=a: b: c
                  ^ column 17


For example:

    raw: echo 'name: ansible'
""",
        (
            "YAML parsing failed: Colons in unquoted values must be followed by a non-space character. "
            "(/srv/site.yml:3:17)"
        ),
    ),
    "several lines": (
        """
[ERROR]: Unable to retrieve file contents.
Could not find or access '/srv/gone.yml' on the Ansible Controller.
If you are using a module and expect the file to exist on the remote, see the remote_src option.

""",
        (
            "Unable to retrieve file contents. Could not find or access '/srv/gone.yml' on the Ansible Controller. "
            "If you are using a module and expect the file to exist on the remote, see the remote_src option."
        ),
    ),
    "caused by": (
        """
[ERROR]: Invalid vars_files file '/srv/v.yml': Attempting to decrypt but no vault secrets found.

Invalid vars_files file '/srv/v.yml'.

<<< caused by >>>

Attempting to decrypt but no vault secrets found.
Origin: /srv/v.yml

""",
        "Invalid vars_files file '/srv/v.yml': Attempting to decrypt but no vault secrets found.",
    ),
    "wrapped, before": (
        "[ERROR]: User interrupted\nexecution\n",
        "User interrupted execution",
    ),
    "configuration, before": (
        (
            "ERROR: Error reading config file (/srv/ansible.cfg): File contains no section headers.\n"
            "file: '<string>', line: 1\n'[defaults\\n'\n"
        ),
        (
            "Error reading config file (/srv/ansible.cfg): File contains no section headers. "
            "file: '<string>', line: 1 '[defaults\\n'"
        ),
    ),
    "configuration, since": (
        """
ERROR: Config 'DEFAULT_FORKS' from '/srv/ansible.cfg' has an invalid value: Invalid value for 'integer': 'many'

Traceback (most recent call last):
  File "ansible/config/manager.py", line 671, in get_config_value_and_origin
ValueError: Invalid value provided for 'integer': 'many'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "ansible/cli/__init__.py", line 91, in <module>
ansible.errors.AnsibleOptionsError: Config 'DEFAULT_FORKS' from '/srv/ansible.cfg' has an invalid value
""",
        "Config 'DEFAULT_FORKS' from '/srv/ansible.cfg' has an invalid value: Invalid value for 'integer': 'many'",
    ),
    "unexpected exception, before": (
        "ERROR! Unexpected Exception, this is probably a bug: boom\nto see the full traceback, use -vvv\n",
        "Unexpected Exception, this is probably a bug: boom",
    ),
    "unexpected exception, verbose, before": (
        (
            "ERROR! Unexpected Exception, this is probably a bug: boom\nthe full traceback was:\n\n"
            "Traceback (most recent call last):\n  File x\nValueError: boom\n"
        ),
        "Unexpected Exception, this is probably a bug: boom",
    ),
    "an option": (
        (
            "usage: ansible-playbook [-h] [--version]\n                        playbook\n"
            "ansible-playbook: error: unrecognized arguments: --bogus\n \nusage: ansible-playbook\n\nRuns.\n"
        ),
        "unrecognized arguments: --bogus",
    ),
    "warnings around it": (
        (
            "[WARNING]: Could not match supplied host pattern, ignoring: x\n"
            "[ERROR]: Specified inventory, host pattern and/or --limit leaves us with no hosts to target.\n"
            "[DEPRECATION WARNING]: Something is deprecated.\nOrigin: /srv/other.yml:1:1\n"
        ),
        "Specified inventory, host pattern and/or --limit leaves us with no hosts to target.",
    ),
    "the last of several": ("ERROR! first\n\nERROR! second\n", "second"),
    "ansible cannot be imported": (
        (
            'Traceback (most recent call last):\n  File "/usr/bin/ansible-playbook", line 5, in <module>\n'
            "    from ansible.cli.playbook import main\nModuleNotFoundError: No module named 'ansible'\n"
        ),
        "ModuleNotFoundError: No module named 'ansible'",
    ),
    "an unknown origin": (
        "[ERROR]: broken\nOrigin: <inventory plugin 'yaml' with source '/srv/hosts'>\n",
        "broken",
    ),
}

OTHERS = {
    "an ignored error": IGNORED,
    "a failed task and the recap": IGNORED.replace("...ignoring", "") + "\nPLAY RECAP ******\na-0 : ok=0 failed=1\n",
    "callback minimal": "ERROR: from a program\na-0 | FAILED | rc=1 >>\nnon-zero return code\n",
    "only warnings": "[WARNING]: provided hosts list is empty\n",
    "marks inside of lines": "msg: [ERROR]: x\n  ERROR! y\n",
    "nothing": "",
}


@pytest.mark.parametrize(("output", "error"), ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("colour", ["", "\x1b[0;31m", "\x1b[1;38;5;9m"])
def test_the_error_that_ended_ansible_is_found(output: str, error: str, colour: str) -> None:
    lines = [f"{colour}{line}\x1b[0m" if colour else line for line in output.split("\n")]
    found = final_error(lines)
    assert found is not None
    assert found.message == error
    assert error[:10] in lines[found.first] or "Traceback" in lines[found.first]
    assert all(plain(line) == "" or "WARNING" in line for line in lines[found.last + 1 :][:1])


@pytest.mark.parametrize("output", OTHERS.values(), ids=OTHERS)
def test_nothing_else_is_an_error_of_ansible(output: str) -> None:
    assert final_error(output.split("\n")) is None


def test_a_long_error_is_cut() -> None:
    found = final_error(["ERROR! " + "x" * 3000, "y"])
    assert found is not None
    assert (len(found.message), found.message[-2:]) == (MAX_ERROR, "x…")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "TASK [install] *****************************************************************",
        "\x1b[1mTASK [role : a [b] * c] [CHECK MODE] ***\x1b[0m",
        "RUNNING HANDLER [Restart] ***",
        "CLEANUP TASK [x] ***",
        "task path: /srv/site.yml:4",
    ],
)
def test_a_banner_is_recognized(line: str) -> None:
    assert is_banner(line)


@pytest.mark.parametrize("line", ["ok: [a-0]", "TASK [x]", "PLAY [all] ***", " ", "TASK", "fatal: [a-0]: FAILED! ***"])
def test_other_lines_are_not_banners(line: str) -> None:
    assert not is_banner(line)
