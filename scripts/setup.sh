# What ./demo and ./check install, and how. Sourced by both.
# Every function leaves what is there alone, and where it may not install, it says the one command and stops.

say() { printf '%s\n' "$*" >&2; }
stop() { say "$*"; exit 1; }

# Runs a command as root: directly, by sudo, or not at all.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        stop "this needs root; run: $*"
    fi
}

apt_install() {
    as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# Says $1 and installs the package $2 of Debian, or $3 of Homebrew.
install_package() {
    say "installing $1"
    if command -v apt-get >/dev/null 2>&1; then
        apt_install "$2"
    elif [ -n "${3:-}" ] && command -v brew >/dev/null 2>&1; then
        brew install "$3" >&2
    else
        stop "install $2 and run this again"
    fi
}

# Ends the server that a package of Debian starts by itself, which nobody here needs.
stop_service() {
    if command -v apt-get >/dev/null 2>&1 && command -v systemctl >/dev/null 2>&1; then
        as_root systemctl disable --now "$1" >/dev/null 2>&1 || true
    fi
}

need_rust() {
    command -v cargo >/dev/null 2>&1 || stop "Rust is missing; install it from https://rustup.rs and run this again"
    command -v cc >/dev/null 2>&1 || stop "a C compiler is missing; install gcc or clang and run this again"
}

# The places where abaci looks for PostgreSQL's programs.
postgres_is_there() {
    local dir
    for dir in "${ABACI_PG_BIN:-}" $(printf '%s' "$PATH" | tr ':' ' ') \
        "$(pg_config --bindir 2>/dev/null || true)" /usr/lib/postgresql/*/bin \
        /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin \
        /Applications/Postgres.app/Contents/Versions/*/bin; do
        [ -n "$dir" ] && [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] && return 0
    done
    return 1
}

need_postgres() {
    postgres_is_there && return
    say "PostgreSQL is missing; installing it"
    if command -v apt-get >/dev/null 2>&1; then
        # Debian's package would otherwise make and start a server of its own on port 5432.
        if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
            as_root mkdir -p /etc/postgresql-common
            printf 'create_main_cluster = false\n' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
        fi
        apt_install postgresql
    elif command -v brew >/dev/null 2>&1; then
        brew install postgresql@17 >&2
    elif command -v dnf >/dev/null 2>&1; then
        stop "run: sudo dnf install postgresql-server   and then this again"
    elif command -v pacman >/dev/null 2>&1; then
        stop "run: sudo pacman -S postgresql   and then this again"
    elif command -v apk >/dev/null 2>&1; then
        stop "run: apk add postgresql   and then this again"
    else
        stop "install PostgreSQL 13 or newer, or name its programs by ABACI_PG_BIN, and run this again"
    fi
    postgres_is_there || stop "PostgreSQL was installed, but its programs are not where abaci looks; set ABACI_PG_BIN"
}

# The pooler that tests put before a database.
need_pgbouncer() {
    PATH=$PATH:/usr/sbin command -v pgbouncer >/dev/null 2>&1 && return
    install_package "the pooler that some tests use (pgbouncer)" pgbouncer pgbouncer
    stop_service pgbouncer
}

# The proxy of docs/http.md, and what makes its certificate.
need_proxy() {
    command -v openssl >/dev/null 2>&1 || install_package "what makes the certificate of a test (openssl)" openssl openssl
    PATH=$PATH:/usr/sbin command -v nginx >/dev/null 2>&1 && return
    install_package "the proxy that some tests use (nginx)" nginx nginx
    stop_service nginx
}

# What the command blocks of the pages use.
need_commands_of_pages() {
    local tool
    for tool in jq curl; do
        command -v "$tool" >/dev/null 2>&1 || install_package "what commands of the pages use ($tool)" "$tool" "$tool"
    done
}

# What gives a program a wrong clock, in the tests of two clocks.
need_faketime() {
    local dir
    for dir in /usr/lib/*/faketime /usr/lib/faketime /usr/lib64/faketime /usr/local/lib/faketime /opt/homebrew/lib/faketime; do
        [ -e "$dir/libfaketimeMT.so.1" ] || [ -e "$dir/libfaketimeMT.1.dylib" ] && return
    done
    install_package "what gives a program a wrong clock (faketime)" faketime libfaketime
}

# The DBOS library of Python, which tests use as a foreign client: the one of the schema that abaci makes, and the newest
# whose schema abaci was tried with.
need_python_clients() {
    need_python_client target/python-client 2.31.1
    need_python_client target/python-client-newer 3.4.0
}

need_python_client() {
    local dir=$1 version=$2
    "$dir/bin/python" -c "import importlib.metadata as m; assert m.version('dbos') == '$version'" 2>/dev/null && return
    say "installing a Python client that tests use (dbos $version) in $dir"
    need_venv
    rm -rf "$dir"
    python3 -m venv "$dir"
    "$dir/bin/pip" install --quiet --disable-pip-version-check "dbos==$version"
}

# A browser and what drives it, for the tests of the page: Chromium, Node.js, and in target/browser the packages that the
# lock file beside those tests names. Their own scripts are not run: they would download browsers.
need_browser() {
    local dir=target/browser of=crates/abaci/tests/it/web/browser missing=()
    browser_is_there || missing+=(chromium)
    node_is_there || missing+=(nodejs)
    command -v npm >/dev/null 2>&1 || missing+=(npm)
    if [ "${#missing[@]}" -gt 0 ]; then
        command -v apt-get >/dev/null 2>&1 ||
            stop "install Chromium and Node.js 18 or newer, or name the browser by ABACI_CHROMIUM, and run this again"
        say "installing the browser of the page's tests (${missing[*]})"
        apt_install "${missing[@]}"
        browser_is_there || stop "no Chromium in the search path; name it by ABACI_CHROMIUM"
        node_is_there || stop "$(node --version) of Node.js is too old; install 18 or newer and run this again"
    fi
    cmp -s "$of/package-lock.json" "$dir/node_modules/.installed" && return
    say "installing what drives the browser (playwright-core, axe-core) in $dir"
    mkdir -p "$dir"
    cp "$of/package.json" "$of/package-lock.json" "$dir"
    npm --prefix "$dir" ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    cp "$of/package-lock.json" "$dir/node_modules/.installed"
}

browser_is_there() {
    local name
    for name in ${ABACI_CHROMIUM:+"$ABACI_CHROMIUM"} chromium chromium-browser google-chrome; do
        command -v "$name" >/dev/null 2>&1 && return
    done
    return 1
}

node_is_there() {
    node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' 2>/dev/null
}

# What asks the HTTP interface at random whether it keeps to its own document.
need_schemathesis() {
    local dir=target/schemathesis versions=scripts/schemathesis-versions.txt
    cmp -s "$versions" "$dir/installed.txt" && return
    say "installing what tests the HTTP interface against its document (schemathesis) in $dir"
    need_venv
    rm -rf "$dir"
    python3 -m venv "$dir"
    "$dir/bin/pip" install --quiet --disable-pip-version-check --requirement "$versions"
    cp "$versions" "$dir/installed.txt"
}

need_venv() {
    python3 -c 'import venv, ensurepip' 2>/dev/null && return
    install_package "Python's environments (python3-venv)" python3-venv
}

# Debian's Rust with the standard library for 64-bit ARM, and what links and runs ARM programs. rustup's toolchain has
# no such library without another download, and rustc of another version cannot use it, so the compiler comes too:
# unpacked in target/arm, beside lists of packages for two architectures that apt's own settings know nothing of.
# Fails where that cannot be had, having said why.
need_arm() {
    local dir=target/arm oldest
    oldest=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    command -v apt-get >/dev/null 2>&1 || { say "no Debian, so no compiler for ARM from there"; return 1; }
    if ! command -v qemu-aarch64 >/dev/null 2>&1 || ! command -v aarch64-linux-gnu-gcc >/dev/null 2>&1; then
        apt_install qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross || return 1
    fi
    [ -x "$dir/usr/bin/rustc" ] || unpack_arm_rust "$dir" || { say "Debian's Rust for ARM cannot be had"; return 1; }
    local version
    version=$(LD_LIBRARY_PATH="$dir/usr/lib/x86_64-linux-gnu" "$dir/usr/bin/rustc" --version | cut -d' ' -f2)
    [ "$(printf '%s\n' "$oldest" "$version" | sort -V | head -n 1)" = "$oldest" ] ||
        { say "Debian's Rust is $version, older than $oldest"; return 1; }
}

# Unpacks the compiler and its libraries for this machine, and the standard library for ARM.
unpack_arm_rust() {
    local apt="$PWD/$1/apt" std llvm
    rm -rf "$1"
    mkdir -p "$apt"/{state/lists,cache/archives,packages}/partial
    local two=(-qq -o "Dir::State=$apt/state" -o "Dir::Cache=$apt/cache" -o Dir::State::status=/var/lib/dpkg/status
        -o APT::Architectures::=amd64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=root)
    depends() { apt-cache "${two[@]}" depends "$1" | sed -n "s/.*Depends: \($2[0-9.]*\)\$/\1/p" | head -n 1; }
    apt-get "${two[@]}" update || return 1
    std=$(depends libstd-rust-web-dev libstd-rust-web-)
    llvm=$(depends "$std" libllvm)
    (cd "$apt/packages" && apt-get "${two[@]}" download \
        rustc-web libstd-rust-web-dev libstd-rust-web-dev:arm64 "$std" "$llvm") || return 1
    local package
    for package in "$apt"/packages/*.deb; do dpkg -x "$package" "$1" || return 1; done
    rm -rf "$apt"
}
