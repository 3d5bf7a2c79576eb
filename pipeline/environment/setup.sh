# Chooses the Python and installs the project into it. Sourced by run_all.sh and run_tests.sh.
#
#     set_up EXTRAS     (say train,wikipedia) leaves PROJECT and PYTHON
#
# The Python is $PYTHON, or that of the active environment (venv, then conda), or PROJECT/.venv, which is made here.
# Empty files in the environment, named by a checksum of the pins, say which extras are installed: while they are there,
# set-up starts Python once and installs nothing. What goes wrong ends the caller with one sentence and status 1.

PROJECT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)

fail() {
    echo "${0##*/}: $1" >&2
    exit 1
}

set_up() {
    local extras=$1 own='' prefix='' pins lock
    if [ -z "${PYTHON:-}" ]; then
        PYTHON=${VIRTUAL_ENV:-${CONDA_PREFIX:-}}
        [ -n "$PYTHON" ] || { own=yes && PYTHON=$PROJECT/.venv; }
        PYTHON=$PYTHON/bin/python
    fi
    case $PYTHON in /*) ;; */*) PYTHON=$PWD/$PYTHON ;; esac # it is used from other folders too
    pins=$(cat "$PROJECT/pyproject.toml" "$PROJECT/pipeline/environment/constraints.txt" | cksum)
    pins=${pins// /-}

    if ! prefix=$(python_prefix "$PYTHON") && [ -z "$own" ]; then
        fail "$PYTHON is not a working Python 3.11 or newer; activate or name another, or unset PYTHON to get .venv"
    fi
    if ! is_installed; then
        lock=$PROJECT/.venv.lock
        if [ -z "$own" ]; then
            lock=$prefix/.distill.lock
            [ -w "$prefix" ] || fail "$prefix lacks packages that the project needs and cannot be written to"
        fi
        {
            wait_for_lock
            install
        } 9>>"$lock"
    fi
    # This checkout's code runs, whatever folder the caller is in and whatever lies there.
    export PYTHONPATH="$PROJECT${PYTHONPATH:+:$PYTHONPATH}" PYTHONSAFEPATH=1
}

python_prefix() {
    "$1" -I -c 'import sys; sys.exit(1) if sys.version_info < (3, 11) else print(sys.prefix)' 2>/dev/null
}

# Shares the variables of set_up, as install does.
is_installed() {
    local extra
    [ -n "$prefix" ] || return 1
    for extra in ${extras//,/ }; do
        [ -e "$prefix/.distill-$pins-$extra" ] || return 1
    done
}

# Descriptor 9 is the lock file; the kernel drops the lock when the last process of this set-up is gone.
wait_for_lock() {
    if command -v flock >/dev/null; then
        flock 9
    else # macOS
        perl -MFcntl=:flock -e 'open my $lock, ">&=", 9; flock $lock, LOCK_EX'
    fi
}

# The lock file is not empty while packages change: a set-up that is killed leaves it so, and the next one makes .venv
# anew, for a half-copied package looks like a whole one.
install() {
    local log=$PROJECT/.setup.log where=$prefix extra
    if [ -n "$own" ]; then
        where=$PROJECT/.venv
        if [ -s "$lock" ] || ! prefix=$(python_prefix "$PYTHON"); then
            rm -rf "$where"
            prefix=''
        fi
    fi
    if is_installed; then
        return # by the set-up that we waited for
    fi
    echo "Setting up $where (minutes the first time; progress in $log)" >&2
    echo changing >&9
    if [ -n "$prefix" ] || make_venv >"$log" 2>&1; then
        prefix=$(python_prefix "$PYTHON")
        find "$prefix" -maxdepth 1 -name '.distill-*' ! -name ".distill-$pins-*" -delete
        if install_packages >"$log" 2>&1; then
            for extra in ${extras//,/ }; do : >"$prefix/.distill-$pins-$extra"; done
            : >"$lock"
            return
        fi
    else
        rm -rf "$where"
    fi
    : >"$lock"
    fail "set-up of $where failed ($(reason "$log")); $log has the rest, and the same command tries again"
}

make_venv() {
    local candidate
    if command -v uv >/dev/null; then
        uv venv --seed --python '>=3.11' "$PROJECT/.venv" # --seed: the pipeline downloads wheels with pip
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11; do
        if python_prefix "$candidate" >/dev/null; then
            "$candidate" -m venv "$PROJECT/.venv"
            return
        fi
    done
    echo 'error: no Python 3.11 or newer on PATH; install one, or uv, or name one with PYTHON=...'
    return 1
}

install_packages() {
    local installer=("$PYTHON" -m pip install --no-input) links
    if command -v uv >/dev/null; then
        # uv does not read pip's settings: tell it where pip may look, so that a machine gets the torch that pip would get.
        links=${PIP_FIND_LINKS:-$("$PYTHON" -m pip config get global.find-links 2>/dev/null || true)}
        export UV_FIND_LINKS=${UV_FIND_LINKS:-${links// /,}}
        export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-}}
        export UV_INDEX=${UV_INDEX:-${PIP_EXTRA_INDEX_URL:-}} UV_INDEX_STRATEGY=${UV_INDEX_STRATEGY:-unsafe-best-match}
        installer=(uv pip install --python "$PYTHON")
    fi
    (cd "$PROJECT" && "${installer[@]}" -c pipeline/environment/constraints.txt -e ".[$extras]")
}

# The first error in a log, or its last line; pip's 'subprocess-exited' says nothing.
reason() {
    { grep -iE '^ *error: ' "$1" | grep -v subprocess-exited || tail -n 1 "$1"; } | sed -E 's/^ *([Ee][Rr][Rr][Oo][Rr]: )?//; q'
}
