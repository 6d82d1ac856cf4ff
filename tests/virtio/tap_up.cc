// SPDX-License-Identifier: Apache-2.0
// tap_up NAME ADDRESS
//
// Makes a tap interface that stays, with an IPv4 address and 24 bits of network,
// and switches it on. The exit code is 1 on an error.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

void Call(int fd, unsigned long request, void* argument, const char* name) {
  if (ioctl(fd, request, argument) != 0) {
    std::fprintf(stderr, "tap_up: %s: %s\n", name, std::strerror(errno));
    std::exit(1);
  }
}

void SetAddress(ifreq& request, const char* text) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  if (inet_pton(AF_INET, text, &address.sin_addr) != 1) {
    std::fprintf(stderr, "tap_up: %s is no address\n", text);
    std::exit(1);
  }
  std::memcpy(&request.ifr_addr, &address, sizeof address);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 || std::strlen(argv[1]) >= IFNAMSIZ) {
    std::fprintf(stderr, "tap_up NAME ADDRESS\n");
    return 2;
  }
  ifreq request = {};
  std::strcpy(request.ifr_name, argv[1]);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  const int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (tun < 0) {
    std::perror("tap_up: /dev/net/tun");
    return 1;
  }
  Call(tun, TUNSETIFF, &request, "TUNSETIFF");
  Call(tun, TUNSETPERSIST, reinterpret_cast<void*>(1), "TUNSETPERSIST");
  const int inet = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  SetAddress(request, argv[2]);
  Call(inet, SIOCSIFADDR, &request, "SIOCSIFADDR");
  SetAddress(request, "255.255.255.0");
  Call(inet, SIOCSIFNETMASK, &request, "SIOCSIFNETMASK");
  Call(inet, SIOCGIFFLAGS, &request, "SIOCGIFFLAGS");
  request.ifr_flags |= IFF_UP;
  Call(inet, SIOCSIFFLAGS, &request, "SIOCSIFFLAGS");
  return 0;
}
