#!/bin/sh
# Installs Debian's packages for tests that need a server no wheel has, which start servers of their own:
#     rabbitmq-server             tests/integration/test_rabbitmq*.py      make rabbitmq
#     redis-server, postgresql    tests/security/test_transport_*.py       make tls-servers (the wheels' know no TLS)
# The services that come with the packages are not started, now or with the machine, so their ports stay free.
set -eu

SECONDS_AT_MOST=600
POLICY=/usr/sbin/policy-rc.d # while it says 101, packages start no services

fail() {
  echo "Not installed: $PACKAGES: $1" >&2
  exit 1
}

is_there() {
  case $1 in
    postgresql) ls /usr/lib/postgresql/*/bin/postgres > /dev/null 2>&1 ;;
    *) command -v "$1" > /dev/null ;;
  esac
}

PACKAGES=
for package; do
  if is_there "$package"; then echo "Installed: $package"; else PACKAGES="$PACKAGES $package"; fi
done
[ "$PACKAGES" ] || exit 0
command -v apt-get > /dev/null || fail "there is no apt-get; put their programs on PATH"
[ "$(id -u)" = 0 ] || fail "only root can install packages; try with sudo"

LOG=$(mktemp)
trap 'exit 1' INT TERM
trap 'rm -f "$LOG"' EXIT
if [ ! -e "$POLICY" ]; then
  trap 'rm -f "$LOG" "$POLICY"' EXIT
  printf '#!/bin/sh\nexit 101\n' > "$POLICY"
  chmod 755 "$POLICY"
fi
echo "Installing$PACKAGES (about a minute) ..."
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # several packages are several words
timeout "$SECONDS_AT_MOST" sh -c \
  'apt-get -qq update && apt-get -qq install --yes --no-install-recommends "$@"' sh $PACKAGES > "$LOG" 2>&1 < /dev/null ||
  fail "$(tail -n 5 "$LOG")"
if command -v systemctl > /dev/null; then
  for package in $PACKAGES; do
    systemctl disable --quiet "$package" 2> /dev/null || true # no systemd runs in a container
  done
fi
