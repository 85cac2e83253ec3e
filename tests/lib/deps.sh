#!/bin/sh
# Installs the Debian packages that building, testing and the demo need: only those that are missing, and without
# leaving a server running. A machine that has everything is left untouched and needs no root.
#
# usage: deps.sh [--drivers] [--regress] [--list]
#
# --drivers      also what tests/drivers needs: languages and their PostgreSQL drivers
# --regress      also what tests/regress needs: to unpack PostgreSQL's source
# --list         prints the names, one a line, and does nothing
set -eu

with_drivers="" with_regress="" only_list=""
for option; do
	case "$option" in
	--drivers) with_drivers=yes ;;
	--regress) with_regress=yes ;;
	--list) only_list=yes ;;
	*) echo "deps: unknown option $option" >&2 && exit 2 ;;
	esac
done

# Grouped by why. One list: the README, the CI and the packaging point here.
build="gcc make pkg-config libc6-dev"
libraries="libuv1-dev libpg-query-dev libinih-dev uthash-dev libxxhash-dev libssl-dev libpq-dev libidn-dev libpam0g-dev"
server_headers="postgresql-server-dev-15" # the node types of the parse tree that libpg_query gives out
unit_tests="libcmocka-dev"
servers="postgresql-15 postgresql-15-pgtap"
outside_tests="python3 python3-psycopg python3-pytest libtap-parser-sourcehandler-pgtap-perl util-linux"
peers="pgbouncer haproxy" # what the benchmark compares with

wanted="$build $libraries $server_headers $unit_tests $servers $outside_tests $peers"

if [ -n "$with_drivers" ]; then
	python="python3-psycopg2 python3-asyncpg python3-sqlalchemy python3-django"
	java="openjdk-17-jdk-headless libpostgresql-jdbc-java"
	go="golang-go golang-github-jackc-pgx-v4-dev golang-github-lib-pq-dev"
	others="openssl libdbd-pg-perl ruby ruby-pg"
	# Where Node.js has another source, npm comes with it and Debian's would not fit.
	node=""
	command -v npm >/dev/null 2>&1 || node="nodejs npm"
	wanted="$wanted $python $java $go $others $node"
fi
[ -z "$with_regress" ] || wanted="$wanted dpkg-dev"

if [ -n "$only_list" ]; then
	printf '%s\n' $wanted
	exit 0
fi

is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = "installed" ]
}

if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
	echo "deps: this is not Debian; install the equivalents of: $wanted" >&2
	exit 1
fi

missing=""
for package in $wanted; do
	is_installed "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "deps: packages are missing and only root can install them. Run as root:" >&2
	echo "    apt-get update && apt-get install --no-install-recommends$missing" >&2
	exit 1
fi

log=$(mktemp /tmp/seawall-deps.XXXXXX)
policy=/usr/sbin/policy-rc.d
cluster_conf=/etc/postgresql-common/createcluster.conf

# While packages are unpacked no service may start, and PostgreSQL's package must not make a cluster of its own on port
# 5432: the tests bring their own servers. What is changed for that is put back however this script ends.
restore() {
	if [ -e "$policy.seawall-saved" ]; then
		mv -f "$policy.seawall-saved" "$policy"
	else
		rm -f "$policy"
	fi
	if [ -e "$cluster_conf.seawall-saved" ]; then
		mv -f "$cluster_conf.seawall-saved" "$cluster_conf"
	fi
}
trap restore EXIT
trap 'exit 130' INT TERM HUP

if [ -e "$policy" ]; then
	mv -f "$policy" "$policy.seawall-saved"
fi
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

apt() {
	DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" >>"$log" 2>&1 || {
		echo "deps: apt-get $1 failed; its last words (all of them are in $log):" >&2
		tail -n 20 "$log" >&2
		exit 1
	}
}

echo "deps: installing$missing"
apt update

# postgresql-common brings the file in which "make a cluster" can be turned off; so it comes before the server.
is_installed postgresql-common || apt install --no-install-recommends postgresql-common
if [ -e "$cluster_conf" ]; then
	cp -p "$cluster_conf" "$cluster_conf.seawall-saved"
	sed -i '/^[[:space:]]*create_main_cluster/d' "$cluster_conf"
fi
echo "create_main_cluster = false" >>"$cluster_conf"

apt install --no-install-recommends $missing

# Nor may a service that came with this installation start at the next boot.
for service in pgbouncer haproxy; do
	case " $missing " in
	*" $service "*) update-rc.d "$service" disable >>"$log" 2>&1 || true ;;
	esac
done
rm -f "$log"
