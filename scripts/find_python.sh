# Sourced by the scripts that make virtual environments.

# find_python NAME: print the path of a Python that can make virtual environments: NAME is a path, or a name such as
# python3.12, which is looked up in PATH and then among the Pythons of pyenv. Fails if there is none.
find_python() {
    for candidate in "$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/"$1"; do
        if "$candidate" -c "import ensurepip" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}
