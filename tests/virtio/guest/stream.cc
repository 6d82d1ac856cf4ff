// SPDX-License-Identifier: Apache-2.0
// stream send BYTES PEER
// stream receive PEER
// stream echo PEER
//
// Sends numbers that follow from one another over a stream, or receives as many
// as come and adds them up; echo sends back what it receives. PEER is where to
// connect, or with "listen-" before it what to accept one connection on:
//
//   tcp:ADDRESS:PORT   IPv4, in digits
//   vsock:CID:PORT
//   unix:PATH
//
// Prints "BYTES bytes, sum SUM, MIB_PER_SECOND MiB/s". Both ends print the same
// sum when all has arrived as it was. The exit code is 1 on an error.
#include <arpa/inet.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kBufferSize = 256 << 10;
constexpr std::chrono::seconds kPatience{60};

[[noreturn]] void Fail(const char* what) {
  std::fprintf(stderr, "stream: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

// A sum of words that depends on their order.
class Sum {
 public:
  void Add(const std::byte* data, size_t size) {
    for (size_t i = 0; i < size; ++i) {
      word_ |= static_cast<uint64_t>(data[i]) << (8 * held_);
      if (++held_ == sizeof word_) Flush();
      if (held_ == 0) {
        // The rest by words.
        for (++i; i + sizeof word_ <= size; i += sizeof word_) {
          std::memcpy(&word_, data + i, sizeof word_);
          Flush();
        }
        --i;
      }
    }
  }
  uint64_t Value() {
    if (held_ > 0) Flush();
    return sum_;
  }

 private:
  void Flush() {
    sum_ = (sum_ << 7 | sum_ >> 57) ^ (word_ * 0x9e3779b97f4a7c15);
    word_ = 0;
    held_ = 0;
  }

  uint64_t sum_ = 0;
  uint64_t word_ = 0;
  unsigned held_ = 0;
};

struct Peer {
  bool listen = false;
  int family = AF_INET;
  sockaddr_vm vm = {};
  sockaddr_in in = {};
  sockaddr_un un = {};

  const sockaddr* address() const {
    switch (family) {
      case AF_VSOCK:
        return reinterpret_cast<const sockaddr*>(&vm);
      case AF_UNIX:
        return reinterpret_cast<const sockaddr*>(&un);
      default:
        return reinterpret_cast<const sockaddr*>(&in);
    }
  }
  socklen_t size() const {
    return family == AF_VSOCK  ? sizeof vm
           : family == AF_UNIX ? sizeof un
                               : sizeof in;
  }
};

Peer Parse(std::string_view text) {
  Peer peer;
  constexpr std::string_view kListen = "listen-";
  if (text.starts_with(kListen)) {
    peer.listen = true;
    text.remove_prefix(kListen.size());
  }
  constexpr std::string_view kUnix = "unix:";
  if (text.starts_with(kUnix)) {
    text.remove_prefix(kUnix.size());
    peer.family = AF_UNIX;
    peer.un.sun_family = AF_UNIX;
    if (text.size() >= sizeof peer.un.sun_path) {
      errno = ENAMETOOLONG;
      Fail("PATH");
    }
    std::memcpy(peer.un.sun_path, text.data(), text.size());
    return peer;
  }
  const size_t host = text.find(':');
  const size_t port = text.rfind(':');
  if (host == std::string_view::npos || host == port) {
    errno = EINVAL;
    Fail("PEER");
  }
  const std::string host_text(text.substr(host + 1, port - host - 1));
  const unsigned long number = std::stoul(std::string(text.substr(port + 1)));
  if (text.starts_with("vsock")) {
    peer.family = AF_VSOCK;
    peer.vm.svm_family = AF_VSOCK;
    peer.vm.svm_cid = static_cast<uint32_t>(std::stoul(host_text));
    peer.vm.svm_port = static_cast<uint32_t>(number);
  } else {
    peer.in.sin_family = AF_INET;
    peer.in.sin_port = htons(static_cast<uint16_t>(number));
    if (inet_pton(AF_INET, host_text.c_str(), &peer.in.sin_addr) != 1) {
      errno = EINVAL;
      Fail("ADDRESS");
    }
  }
  return peer;
}

int Open(const Peer& peer) {
  const Clock::time_point end = Clock::now() + kPatience;
  while (true) {
    const int fd = socket(peer.family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) Fail("socket");
    if (peer.listen) {
      const int on = 1;
      (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      if (bind(fd, peer.address(), peer.size()) != 0) Fail("bind");
      if (listen(fd, 1) != 0) Fail("listen");
      const int connection = accept(fd, nullptr, nullptr);
      if (connection < 0) Fail("accept");
      close(fd);
      return connection;
    }
    if (connect(fd, peer.address(), peer.size()) == 0) return fd;
    // The other end may not be listening yet.
    if (Clock::now() > end) Fail("connect");
    close(fd);
    usleep(100'000);
  }
}

void Write(int fd, const std::byte* data, size_t size) {
  while (size > 0) {
    const ssize_t done = write(fd, data, size);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) Fail("write");
    data += done;
    size -= static_cast<size_t>(done);
  }
}

uint64_t Send(int fd, uint64_t bytes, Sum& sum) {
  std::vector<std::byte> buffer(kBufferSize);
  uint64_t state = 88172645463325252;
  uint64_t sent = 0;
  while (sent < bytes) {
    const size_t size =
        static_cast<size_t>(std::min<uint64_t>(kBufferSize, bytes - sent));
    for (size_t i = 0; i < kBufferSize; i += sizeof state) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      std::memcpy(buffer.data() + i, &state, sizeof state);
    }
    sum.Add(buffer.data(), size);
    Write(fd, buffer.data(), size);
    sent += size;
  }
  if (shutdown(fd, SHUT_WR) != 0) Fail("shutdown");
  return sent;
}

uint64_t Receive(int fd, bool echo, Sum& sum) {
  std::vector<std::byte> buffer(kBufferSize);
  uint64_t received = 0;
  while (true) {
    const ssize_t size = read(fd, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) Fail("read");
    if (size == 0) return received;
    sum.Add(buffer.data(), static_cast<size_t>(size));
    if (echo) Write(fd, buffer.data(), static_cast<size_t>(size));
    received += static_cast<uint64_t>(size);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  const bool send = what == "send";
  if (argc != (send ? 4 : 3) ||
      (!send && what != "receive" && what != "echo")) {
    std::fprintf(stderr, "stream send BYTES PEER | receive PEER | echo PEER\n");
    return 2;
  }
  const int fd = Open(Parse(argv[argc - 1]));
  const Clock::time_point begin = Clock::now();
  Sum sum;
  uint64_t bytes = 0;
  if (send) {
    bytes = Send(fd, std::strtoull(argv[2], nullptr, 0), sum);
    // Until the other end has read all and closes.
    std::byte byte{};
    while (read(fd, &byte, 1) > 0) {
    }
  } else {
    bytes = Receive(fd, what == "echo", sum);
  }
  const double seconds =
      std::chrono::duration<double>(Clock::now() - begin).count();
  std::printf("%llu bytes, sum %016llx, %.1f MiB/s\n",
              static_cast<unsigned long long>(bytes),
              static_cast<unsigned long long>(sum.Value()),
              static_cast<double>(bytes) / (1 << 20) / seconds);
  return 0;
}
