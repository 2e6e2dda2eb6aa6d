# Sourced by scripts/hub, scripts/test, scripts/bench and scripts/fuzz: makes .venv and keeps it at what the lock files say.
#
# 1. .venv/.stamp names the place of the repository and the hash of each lock that is installed.
#    It is written last; while it holds what is asked for, nothing else is looked at.
# 2. .venv/.unfinished stands from the first step to the last; a .venv that has it is made anew.
# 3. One run at a time installs: the others wait for a lock on the repository's directory.
#
# All that is said here goes to stderr, one sentence for each thing that is missing.

source "$root/scripts/lib/hot.sh"

say() { printf 'shardhub: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 78 # sysexits(3): this installation cannot be used
}

# venv_ensure LOCK: afterwards .venv holds what LOCK lists, and finds the project's own packages; the
# tick path is compiled if it can be.
venv_ensure() {
    local lock=$1 guard
    if venv_stamped "$lock"; then
        hot_settled && return
    else
        venv_may_install
    fi
    exec {guard}<"$root"
    if ! flock --nonblock "$guard"; then
        say "another run is installing; waiting for it."
        flock "$guard"
    fi
    venv_stamped "$lock" || venv_install "$lock"
    hot_settled || hot_make || true
    exec {guard}<&-
}

venv_may_install() {
    [[ -w $root || ! -r $root/.venv/.stamp || -x $root/.venv/bin/python ]] ||
        fail "you may not run $(readlink -m "$root/.venv/bin/python"), which .venv was made with; let who may" \
            "write here type \`rm -r $root/.venv; PYTHON=/usr/bin/python3 $root/scripts/${0##*/} --version\`."
    [[ -w $root && (! -e $root/.venv || -w $root/.venv) ]] ||
        fail "you may not write to $root; type \`sudo $root/scripts/${0##*/}\` once to install there."
}

venv_stamped() {
    [[ -x $root/.venv/bin/python && -r $root/.venv/.stamp ]] || return
    local stamp
    stamp=$(<"$root/.venv/.stamp")
    [[ $stamp == "$root"$'\n'* && $stamp == *"$(venv_hash "$1")"* ]]
}

venv_hash() { (cd "$root" && sha256sum "$1"); }

venv_install() {
    local lock=$1 other=requirements.lock started=$SECONDS new beside=
    trap 'say "interrupted; type the same again to go on."; exit 130' INT TERM
    if venv_usable; then beside=$(venv_beside "$lock"); else venv_make; fi
    : >"$root/.venv/.unfinished"
    rm -f "$root/.venv/.stamp"
    venv_pip "$lock"
    venv_python -c 'import sys, sysconfig; from pathlib import Path
Path(sysconfig.get_path("purelib"), "shardhub.pth").write_text(sys.argv[1] + "\n")' "$root"
    new=$root/.venv/.stamp.new
    { printf '%s\n' "$root" && venv_hash "$lock" && printf '%s\n' "$beside"; } >"$new"
    # The development lock holds all that the other one does, so scripts/hub is content with it.
    [[ $lock != requirements-dev.lock ]] || venv_hash "$other" >>"$new"
    rm "$root/.venv/.unfinished"
    mv "$new" "$root/.venv/.stamp"
    trap - INT TERM
    say "ready after $((SECONDS - started)) s."
}

# What the stamp says that is still so when LOCK is installed: the locks of the benchmark, of the
# fuzzing and of the brokers' clients share no package with the others.
venv_beside() {
    local stamp=$root/.venv/.stamp
    [[ -r $stamp ]] || return 0
    if [[ $1 =~ ^requirements-(bench|fuzz|oracle)\.lock$ ]]; then
        sed -e 1d -e "/ $1\$/d" "$stamp"
    else
        grep -E ' requirements-(bench|fuzz|oracle)\.lock$' "$stamp" || true
    fi
}

venv_python() { "$root/.venv/bin/python" -P "$@"; }

# Whether .venv is whole and of this place; one that somebody else made is taken as it is.
venv_usable() {
    [[ -d $root/.venv && ! -e $root/.venv/.unfinished ]] || return
    [[ ! -e $root/.venv/.stamp || $(<"$root/.venv/.stamp") == "$root"$'\n'* ]] &&
        venv_python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

venv_make() {
    local python version
    python=$(venv_find_python)
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "Python $version has no venv module; type \`sudo apt install python$version-venv\`."
    say "making .venv with Python $version."
    rm -rf "$root/.venv"
    mkdir "$root/.venv"
    : >"$root/.venv/.unfinished"
    "$python" -m venv "$root/.venv" &>"$root/.venv/.unfinished" || {
        tail -n 5 "$root/.venv/.unfinished" >&2
        fail "Python $version cannot make .venv; see above, and type the same again."
    }
}

venv_find_python() {
    local names=(python3 python3.13 python3.12 python3.11) name
    [[ -z ${PYTHON-} ]] || names=("$PYTHON")
    for name in "${names[@]}"; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    [[ -z ${PYTHON-} ]] || fail "\$PYTHON is $PYTHON, which is no Python 3.11 or newer; type \`unset PYTHON\`."
    fail "Python 3.11 or newer is needed; type \`sudo apt install python3.11 python3.11-venv\`."
}

# pip with a line of its own for progress: `3/15 click`; what it said is shown when it fails.
venv_pip() {
    local lock=$1 log=$root/.venv/pip.log total count=0 word name rest
    total=$(grep -c '^[a-z].*==' "$root/$lock")
    say "installing $total packages from $lock."
    PIP_USER=0 venv_python -m pip install --disable-pip-version-check --no-input --no-color \
        --no-deps --require-hashes --requirement "$root/$lock" 2>"$log" |
        while read -r word name rest; do
            [[ $word == Collecting || $word == Requirement ]] || continue
            [[ $word != Requirement ]] || name=${rest#satisfied: }
            count=$((count + 1))
            [[ ! -t 2 ]] || printf '\r\e[K  %d/%d %s' "$count" "$total" "${name%%[ =]*}" >&2
        done || {
        [[ ! -t 2 ]] || printf '\r\e[K' >&2
        grep -v '^WARNING' "$log" | tail -n 5 >&2
        fail "pip could not install the packages; check the network and type the same again."
    }
    [[ ! -t 2 ]] || printf '\r\e[K' >&2
}
