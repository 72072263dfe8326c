# Sourced by the scripts beside it: sees to it that the machine has what they need. Nothing is installed that is
# there already, and nothing that runs is started, stopped or configured.

# Ends with a fault in plain words and what to do about it.
give_up() {
    printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

has() {
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/usr/local/sbin/$1" ]
}

has_postgresql() {
    for initdb in /usr/lib/postgresql/*/bin/initdb; do
        [ -x "$initdb" ] && return 0
    done
    has initdb && has postgres
}

# What turns the clock of a test's own PostgreSQL, and no other.
has_libfaketime() {
    for library in /usr/lib/*/faketime/libfaketime.so.1; do
        [ -e "$library" ] && return 0
    done
    return 1
}

# Names the Debian packages of the servers that are missing.
missing_servers() {
    has_postgresql || echo postgresql
    has redis-server || echo redis-server
    has nats-server || echo nats-server
    has setpriv || echo util-linux
}

# Names the Debian packages that building needs and that are missing.
missing_build_tools() {
    has cc || echo gcc libc6-dev
}

# Names the Debian packages that measuring needs and that are missing. pgbench comes with PostgreSQL's server.
missing_load_tools() {
    has h2load || echo nghttp2-client
    has psql || echo postgresql-client
}

# need_apt NAME…: sees to it that Debian packages can be had, and sets as_root to what makes a command root's.
need_apt() {
    as_root=
    if [ "$(id -u)" != 0 ]; then
        has sudo || give_up "this machine lacks: $*" "as root: apt-get update && apt-get install $*"
        as_root=sudo
    fi
    has apt-get || give_up "this machine lacks: $*" "install these with its own package manager, and start this again"
}

# install_packages NAME…: installs Debian packages, without starting the services that come with them.
install_packages() {
    [ $# -gt 0 ] || return 0
    need_apt "$@"
    printf 'installing %s\n' "$*" >&2
    # Debian's way of saying that no service is to be started or restarted meanwhile; an administrator's own rule stays.
    $as_root sh -eu -c '
        rule=/usr/sbin/policy-rc.d
        if [ ! -e "$rule" ]; then
            trap "rm -f $rule" EXIT
            printf "#!/bin/sh\nexit 101\n" >"$rule"
            chmod 755 "$rule"
        fi
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -q
        apt-get install -q -y --no-install-recommends "$@"
    ' sh "$@" >&2
}

# Sees to it that cargo is there, and on PATH.
need_cargo() {
    has cargo || PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    has cargo || give_up "this machine has no Rust toolchain" "install one from https://rustup.rs, and start this again"
}

# need_schemathesis TARGET: sees to it that the fuzzer is there, in a Python environment of its own in the target directory.
schemathesis_version=4.32.5
need_schemathesis() {
    if ! "$1/venv/bin/schemathesis" --version 2>/dev/null | grep -qF "$schemathesis_version"; then
        python3 -m venv "$1/venv"
        "$1/venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$schemathesis_version"
    fi
}

# unpack PACKAGE INTO: has a Debian package's files in a directory. Its service, which would start with the machine, is not
# installed.
unpack() {
    need_apt "$1"
    printf 'unpacking %s\n' "$1" >&2
    rm -rf "$2"
    mkdir -p "$2"
    (
        cd "$2"
        # Whatever apt-get has known for long may be gone from its mirror.
        if ! apt-get download -q "$1"; then
            $as_root apt-get update -q
            apt-get download -q "$1"
        fi
        dpkg-deb -x "$1"_*.deb .
        rm "$1"_*.deb
    ) >&2
}

# need_promtool TARGET: sees to it that promtool is there, and on PATH. It comes with a whole Prometheus.
need_promtool() {
    has promtool || PATH=$PATH:$1/prometheus/usr/bin
    has promtool || unpack prometheus "$1/prometheus"
}

# need_alertmanager TARGET: sees to it that Alertmanager is there, and on PATH, for the tests that page somebody. Debian's looks for
# its templates under /usr/share: it finds those of its package there, in a mount namespace of its own.
need_alertmanager() {
    has prometheus-alertmanager || PATH=$PATH:$1/alertmanager/bin
    has prometheus-alertmanager && return 0
    unpack prometheus-alertmanager "$1/alertmanager"
    mkdir "$1/alertmanager/bin"
    cat >"$1/alertmanager/bin/prometheus-alertmanager" <<'END'
#!/bin/sh
package=$(cd "$(dirname "$0")/.." && pwd -P)
exec unshare --map-root-user --mount sh -euc '
    mount --bind "$1/usr/share" /usr/share
    program=$1/usr/bin/prometheus-alertmanager
    shift
    exec "$program" "$@"
' sh "$package" "$@"
END
    chmod 755 "$1/alertmanager/bin/prometheus-alertmanager"
}
