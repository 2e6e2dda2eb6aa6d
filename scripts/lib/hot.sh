# Sourced by venv.sh: compiles hub/core/_hot.pyx, which every tick passes through, into a module beside it.
#
# 1. .venv/.hot says how that went, and the hash of each file it was made from; while it holds what is
#    there, nothing else is looked at.
# 2. The hub runs without, at up to half more CPU. Whatever fails here is a sentence, never an end.
# 3. Where we may not write nothing is compiled. What was compiled from another source is not imported
#    (hub/core/hot.py).

# Whether nothing is to be done, or can be.
hot_settled() {
    local state=$root/.venv/.hot said result place
    [[ -w $root/.venv && -w $root/hub/core ]] || return 0
    [[ -r $state ]] || return
    said=$(<"$state")
    [[ ${said#*$'\n'} == "$(hot_sources)" ]] || return
    read -r result place <<<"$said"
    case $result in
    built) [[ -e $root/hub/core/$place ]] ;;
    missing) ! hot_tools "$place" ;;
    esac
}

hot_sources() {
    (cd "$root" && sha256sum hub/core/_hot.pyx requirements-build.lock scripts/lib/hot.sh .venv/pyvenv.cfg)
}

# hot_tools INCLUDE: whether a compiler is there, and Python's headers.
hot_tools() { command -v cc >/dev/null && [[ -e $1/Python.h ]]; }

hot_missing() {
    command -v cc >/dev/null || printf ' gcc'
    [[ -e $1/Python.h ]] || printf ' %s-dev' "${1##*/}"
}

hot_make() {
    local started=$SECONDS log=$root/.venv/hot.log sources result suffix include
    sources=$(hot_sources)
    read -r suffix include < <(venv_python -c 'import sysconfig
print(sysconfig.get_config_var("EXT_SUFFIX"), sysconfig.get_path("include"))')
    rm -f "$root"/hub/core/_hot.*.so
    if ! hot_tools "$include"; then
        result="missing $include"
        say "the tick path is not compiled, which costs up to half more CPU; type" \
            "\`sudo apt install$(hot_missing "$include")\`, then the same again."
    elif hot_compile "_hot$suffix" "$include" &>"$log"; then
        result="built _hot$suffix"
        say "compiled the tick path in $((SECONDS - started)) s."
    else
        result=failed
        say "the tick path could not be compiled, which costs up to half more CPU; see $log, and type" \
            "\`rm $root/.venv/.hot\` to have it tried again."
    fi
    printf '%s\n' "$result" "$sources" >"$root/.venv/.hot.new" && mv "$root/.venv/.hot.new" "$root/.venv/.hot"
}

# hot_compile NAME INCLUDE: makes hub/core/NAME. As in setup.py, for an installation by pip.
hot_compile() {
    local work=$root/.venv/hot digest
    read -r digest _ < <(sha256sum "$root/hub/core/_hot.pyx")
    PIP_USER=0 venv_python -m pip install --disable-pip-version-check --no-input --no-color --retries 1 \
        --no-deps --require-hashes --requirement "$root/requirements-build.lock" &&
        mkdir -p "$work" &&
        (cd "$root" && venv_python -m cython --output-file "$work/_hot.c" hub/core/_hot.pyx) &&
        cc -O2 -g0 -s -fPIC -shared -fwrapv -DNDEBUG "-DHOT_SOURCE=\"$digest\"" "-I$2" -o "$work/$1" "$work/_hot.c" &&
        mv "$work/$1" "$root/hub/core/$1"
}
