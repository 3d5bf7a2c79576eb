# Chooses the Python and installs the project into it. Sourced by run_all.sh and run_tests.sh.
#
#     set_up EXTRAS     (say train,wikipedia) leaves PROJECT and PYTHON
#
# The Python is $PYTHON, or that of the active environment (venv, then conda), or PROJECT/.venv, which is made here. The
# base environment of conda is active in every shell of many users, who share it with other work: it is left alone.
# Empty files in the environment, named by a checksum of the pins, say which extras are installed: while they are there,
# set-up starts Python once and installs nothing. Else it calls `before_installing` first, where the caller has that.
# What goes wrong ends the caller with one sentence and status 1; Ctrl-C during an installation with status 75.

PROJECT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)

# A sentence, and where it is not 1 the status.
fail() {
    echo "${0##*/}: $1" >&2
    exit "${2:-1}"
}

set_up() {
    local extras=$1 chosen=PYTHON own='' prefix='' conda=${CONDA_PREFIX:-} pins lock
    [ "${CONDA_DEFAULT_ENV:-}" != base ] || conda=''
    if [ -z "${PYTHON:-}" ]; then
        if [ -n "${VIRTUAL_ENV:-}" ]; then
            chosen=VIRTUAL_ENV
        elif [ -n "$conda" ]; then
            chosen=CONDA_PREFIX
        else
            own=yes
        fi
        PYTHON=${VIRTUAL_ENV:-${conda:-$PROJECT/.venv}}/bin/python
    fi
    case $PYTHON in /*) ;; */*) PYTHON=$PWD/$PYTHON ;; esac # it is used from other folders too
    pins=$(cat "$PROJECT/pyproject.toml" "$PROJECT/pipeline/environment/constraints.txt" | cksum)
    pins=${pins// /-}

    if ! prefix=$(python_prefix "$PYTHON") && [ -z "$own" ]; then
        fail "$PYTHON ($chosen) is not a working Python 3.11 to 3.13; activate or name another, or unset PYTHON, VIRTUAL_ENV and CONDA_PREFIX to get .venv"
    fi
    if ! is_installed; then
        ! declare -F before_installing >/dev/null || before_installing
        lock=$PROJECT/.venv.lock
        if [ -z "$own" ]; then
            lock=$prefix/.distill.lock
            [ -w "$prefix" ] || fail "$prefix lacks packages that the project needs and cannot be written to"
        fi
        { # a trap runs where output may be going to a log: descriptor 8 is still the user's
            trap 'echo "${0##*/}: set-up was interrupted; the same command tries again" >&8; exit 75' INT
            wait_for_lock
            install
            trap - INT
        } 8>&2 9>>"$lock"
    fi
    # This checkout's code runs, whatever folder the caller is in and whatever lies there.
    export PYTHONPATH="$PROJECT${PYTHONPATH:+:$PYTHONPATH}" PYTHONSAFEPATH=1
}

python_prefix() {
    "$1" -I -c 'import sys; print(sys.prefix) if (3, 11) <= sys.version_info < (3, 14) else sys.exit(1)' 2>/dev/null
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
    local candidate without=''
    if command -v uv >/dev/null; then
        uv venv --seed --python '>=3.11,<3.14' "$PROJECT/.venv" # --seed: the pipeline downloads wheels with pip
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11; do
        if ! python_prefix "$candidate" >/dev/null; then
            continue
        elif ! "$candidate" -I -c 'import ensurepip' >/dev/null 2>&1; then
            without=$candidate # Debian and Ubuntu have it in a package of its own
        else
            "$candidate" -m venv "$PROJECT/.venv"
            return
        fi
    done
    if [ -n "$without" ]; then
        echo "error: $without cannot make environments; install what is missing (sudo apt install $without-venv), or uv"
    else
        echo 'error: no Python 3.11 to 3.13 on PATH; install one, or uv, or name one with PYTHON=...'
    fi
    return 1
}

install_packages() {
    local installer=("$PYTHON" -m pip install --no-input) links
    if command -v uv >/dev/null; then
        # uv does not read pip's settings: tell it where pip may look, so that a machine gets the torch that pip would get.
        links=$(pip_setting find-links "${PIP_FIND_LINKS:-}")
        export UV_FIND_LINKS=${UV_FIND_LINKS:-${links// /,}}
        export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$(pip_setting index-url "${PIP_INDEX_URL:-}")}
        export UV_INDEX=${UV_INDEX:-$(pip_setting extra-index-url "${PIP_EXTRA_INDEX_URL:-}")}
        export UV_INDEX_STRATEGY=${UV_INDEX_STRATEGY:-unsafe-best-match}
        installer=(uv pip install --python "$PYTHON")
    fi
    (cd "$PROJECT" && "${installer[@]}" -c pipeline/environment/constraints.txt -e ".[$extras]")
}

# The values of a setting of pip: what its environment variable holds (the second argument), or else its configuration
# file, where each value may have a line. Without quotes there is one blank between them.
pip_setting() {
    echo ${2:-$("$PYTHON" -m pip config get "global.$1" 2>/dev/null)}
}

# The first error in a log, or its last line that is not empty; pip's 'subprocess-exited' says nothing.
reason() {
    { grep -iE '^ *error: ' "$1" | grep -v subprocess-exited || grep '[^ ]' "$1" | tail -n 1; } | sed -E 's/^ *([Ee][Rr][Rr][Oo][Rr]: )?//; q'
}
