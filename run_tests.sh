#!/usr/bin/env bash
# Runs the tests: ./run_tests.sh [PYTEST_ARGUMENT...]
# They run in .venv, which is made where there is none. MASKFORMER_PYTHON names the Python of an
# environment to use in its place; nothing is installed into that. TEST_WORKERS says how many
# processes run them (each takes up to 6 GB); by default one for each core, four at most.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if [ -z "${MASKFORMER_PYTHON:-}" ]; then
  source tools/environment.sh
  make_environment .venv -r requirements.txt --editable '.[test]'
  MASKFORMER_PYTHON=.venv/bin/python
fi
# As a module, so that the working tree is tested even where the package is installed.
exec "$MASKFORMER_PYTHON" -m pytest --numprocesses "${TEST_WORKERS:-auto}" --maxprocesses 4 \
  --no-loadscope-reorder "$@"
