# Functions for making a virtual environment; sourced by run_tests.sh, quickstart.sh and .ci/run.

# Prints the Python to make environments with: $MASKFORMER_BASE_PYTHON (a command or a path) where
# it is set, or else the first on the PATH that is new enough.
find_python() {
  local candidate candidates="python3.11 python3.12 python3 python3.13 python3.14 python"
  if [ -n "${MASKFORMER_BASE_PYTHON:-}" ]; then
    if ! is_new_enough "$MASKFORMER_BASE_PYTHON"; then
      echo "error: MASKFORMER_BASE_PYTHON is '$MASKFORMER_BASE_PYTHON'," \
        "but must be Python 3.11 or newer" >&2
      return 1
    fi
    command -v "$MASKFORMER_BASE_PYTHON"
    return
  fi
  for candidate in $candidates; do
    if is_new_enough "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  echo "error: no Python 3.11 or newer on the PATH; MASKFORMER_BASE_PYTHON can name one" >&2
  return 1
}

is_new_enough() {
  command -v "$1" > /dev/null &&
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null
}

# make_environment DIR PIP_ARGUMENT...: a virtual environment with these packages installed.
# One that is complete is left as it is; one that is not (an install was cut off, or the
# requirements have changed since) is completed.
make_environment() {
  local directory=$1 python wanted
  shift
  if [ ! -x "$directory/bin/python" ]; then
    python=$(find_python) || return 1
    echo "making $directory with $("$python" --version)"
    if ! "$python" -m venv "$directory"; then
      rm -rf "$directory"
      echo "error: '$python -m venv' failed; on Debian and Ubuntu it needs the package python3-venv" >&2
      return 1
    fi
  fi
  wanted=$(echo "$@" | cat - requirements.txt pyproject.toml | cksum)
  if ! grep -qsxF "$wanted" "$directory/installed.txt"; then
    echo "installing packages into $directory (a few minutes the first time)"
    "$directory/bin/python" -m pip install -qq --disable-pip-version-check "$@" || {
      echo "error: the packages could not be installed; see pip's message above" >&2
      return 1
    }
    echo "$wanted" >> "$directory/installed.txt"
  fi
}
