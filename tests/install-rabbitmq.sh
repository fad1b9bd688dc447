#!/bin/sh
# Installs Debian's RabbitMQ for tests/integration/test_rabbitmq*.py, which start servers of their own: `make rabbitmq`.
# The service that comes with the package is not started, now or with the machine, so ports 5672 and 4369 stay free.
set -eu

SECONDS_AT_MOST=600
POLICY=/usr/sbin/policy-rc.d # while it says 101, packages start no services

fail() {
  echo "RabbitMQ is not installed: $1" >&2
  exit 1
}

if command -v rabbitmq-server > /dev/null; then
  echo "RabbitMQ is installed: $(command -v rabbitmq-server)"
  exit 0
fi
command -v apt-get > /dev/null || fail "there is no apt-get; put the scripts of a RabbitMQ on PATH"
[ "$(id -u)" = 0 ] || fail "only root can install packages; try: sudo make rabbitmq"

LOG=$(mktemp)
trap 'exit 1' INT TERM
trap 'rm -f "$LOG"' EXIT
if [ ! -e "$POLICY" ]; then
  trap 'rm -f "$LOG" "$POLICY"' EXIT
  printf '#!/bin/sh\nexit 101\n' > "$POLICY"
  chmod 755 "$POLICY"
fi
echo "Installing RabbitMQ (about a minute) ..."
export DEBIAN_FRONTEND=noninteractive
timeout "$SECONDS_AT_MOST" sh -c \
  'apt-get -qq update && apt-get -qq install --yes --no-install-recommends rabbitmq-server' > "$LOG" 2>&1 < /dev/null ||
  fail "$(tail -n 5 "$LOG")"
if command -v systemctl > /dev/null; then
  systemctl disable --quiet rabbitmq-server 2> /dev/null || true # no systemd runs in a container
fi
