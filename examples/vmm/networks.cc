// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/networks.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/virtio/net/stream_net.h"

namespace vmm {

using namespace libvmm;

namespace {

constexpr char kUserNet[] = "user_net";
// In sockets_.
constexpr char kUser[] = "";

absl::StatusOr<sockaddr_un> Address(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--net pair=", path, ": the path has ", path.size(),
        " bytes, a socket's at most ", sizeof(address.sun_path) - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

absl::Status Failed(absl::string_view call, const std::string& path) {
  return ErrnoStatus(errno, absl::StrCat("--net pair: ", call, "(", path, ")"));
}

// The other end of the pair: it waits at `path`, or is waited for there.
absl::StatusOr<UniqueFd> OpenPair(
    const std::string& path,
    absl::FunctionRef<void(absl::string_view path)> waiting) {
  LIBVMM_ASSIGN_OR_RETURN(const sockaddr_un address, Address(path));
  const auto* const where = reinterpret_cast<const sockaddr*>(&address);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return Failed("socket", path);
  if (::connect(socket.get(), where, sizeof address) == 0) return socket;
  // Of one that waited and was ended.
  if (errno == ECONNREFUSED) ::unlink(path.c_str());
  if (errno != ECONNREFUSED && errno != ENOENT) return Failed("connect", path);
  if (::bind(socket.get(), where, sizeof address) != 0) {
    return Failed("bind", path);
  }
  const absl::Cleanup remove = [&path] { ::unlink(path.c_str()); };
  if (::listen(socket.get(), 1) != 0) return Failed("listen", path);
  waiting(path);
  UniqueFd other(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!other.valid()) return Failed("accept", path);
  return other;
}

// The program beside this one.
absl::StatusOr<std::string> UserNetPath() {
  char self[PATH_MAX];
  const ssize_t size = ::readlink("/proc/self/exe", self, sizeof self);
  if (size < 0) return ErrnoStatus(errno, "readlink(/proc/self/exe)");
  std::string path(self, static_cast<size_t>(size));
  path.resize(path.rfind('/') + 1);
  return path + kUserNet;
}

absl::StatusOr<UniqueFd> StartUserNet() {
  LIBVMM_ASSIGN_OR_RETURN(const std::string path, UserNetPath());
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoStatus(errno, "socketpair");
  }
  UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  // Its standard input is the network. A terminal's signals are not for it, and
  // this process's mask is not its.
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, theirs.get(), STDIN_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  std::string name = kUserNet;
  char* arguments[] = {name.data(), nullptr};
  pid_t child = 0;
  const int error = ::posix_spawn(&child, path.c_str(), &actions, &attributes,
                                  arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    return ErrnoStatus(error,
                       absl::StrCat("--net user: posix_spawn(", path, ")"));
  }
  return ours;
}

// In sockets_; nothing for a network that has no socket there.
std::optional<std::string> NameOf(const PcNetPeer& peer) {
  if (std::holds_alternative<PcUserNet>(peer)) return kUser;
  const auto* const pair = std::get_if<PcPairNet>(&peer);
  if (pair == nullptr) return std::nullopt;
  return pair->name;
}

// What sockets_ is to have.
absl::StatusOr<std::vector<std::string>> Names(const PcVirtioConfig& config) {
  std::vector<std::string> names;
  for (const PcNet& net : config.nets) {
    std::optional<std::string> name = NameOf(net.peer);
    if (!name.has_value()) continue;
    if (std::ranges::find(names, *name) != names.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--net ", *name == kUser ? "user" : "pair=", *name,
                       " comes twice: a machine has one end of it"));
    }
    names.push_back(*std::move(name));
  }
  return names;
}

}  // namespace

absl::StatusOr<Networks> Networks::Create(
    const PcVirtioConfig& config,
    absl::FunctionRef<void(absl::string_view path)> waiting) {
  LIBVMM_ASSIGN_OR_RETURN(const std::vector<std::string> names, Names(config));
  Networks networks;
  for (const std::string& name : names) {
    LIBVMM_ASSIGN_OR_RETURN(
        networks.sockets_[name],
        name == kUser ? StartUserNet() : OpenPair(name, waiting));
  }
  return networks;
}

absl::StatusOr<PcNetBackends> Networks::Open(const PcNet& net,
                                             const Clock& /*clock*/) {
  if (net.queues != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "queues is ", net.queues, ", expected 1 for a network of this kind"));
  }
  const UniqueFd& socket = sockets_[NameOf(net.peer).value_or(kUser)];
  LIBVMM_ASSIGN_OR_RETURN(UniqueFd ours, socket.Duplicate());
  LIBVMM_ASSIGN_OR_RETURN(std::unique_ptr<StreamNet> stream,
                          StreamNet::Adopt(std::move(ours)));
  PcNetBackends backends;
  backends.push_back(std::move(stream));
  return backends;
}

}  // namespace vmm
