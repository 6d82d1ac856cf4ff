// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_FS_FUSE_TEST_CLIENT_H_
#define LIBVMM_DEVICES_VIRTIO_FS_FUSE_TEST_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/devices/virtio/fs/fuse_protocol.h"

namespace libvmm::testing {

using Bytes = std::vector<std::byte>;

inline void AppendTo(Bytes& bytes, const std::string& text) {
  const auto from = std::as_bytes(std::span(text));
  bytes.insert(bytes.end(), from.begin(), from.end());
}
template <typename T>
void AppendTo(Bytes& bytes, const T& value) {
  const auto from = std::as_bytes(std::span(&value, 1));
  bytes.insert(bytes.end(), from.begin(), from.end());
}

// Structures and texts one behind the other; a text brings its NUL itself.
template <typename... T>
Bytes Joined(const T&... parts) {
  Bytes bytes;
  (AppendTo(bytes, parts), ...);
  return bytes;
}
inline std::string Name(const std::string& name) { return name + '\0'; }

// The guest's side of FUSE: makes messages and takes replies apart, and checks
// that their headers agree with each other.
//
// Thread-safety: thread-compatible.
class FuseTestClient {
 public:
  // Sends a message with room for a reply; nothing: it was not given back.
  // The reply is as long as the device says.
  using Send =
      std::function<std::optional<Bytes>(const Bytes& message, uint32_t room)>;
  explicit FuseTestClient(Send send) : send_(std::move(send)) {}

  struct Reply {
    // As the guest's caller would get it; -1: no reply.
    int error = -1;
    Bytes payload = {};

    template <typename T>
    [[nodiscard]] T As(size_t offset = 0) const {
      T value;
      EXPECT_GE(payload.size(), offset + sizeof value);
      if (payload.size() >= offset + sizeof value) {
        std::memcpy(&value, payload.data() + offset, sizeof value);
      }
      return value;
    }
    [[nodiscard]] std::string Text() const {
      return {reinterpret_cast<const char*>(payload.data()), payload.size()};
    }
  };

  static constexpr uint32_t kUid = 1000;
  static constexpr uint32_t kGid = 1001;
  static constexpr uint32_t kRoom = 4096;

  Bytes Message(fuse::Opcode opcode, uint64_t node, const Bytes& body) {
    const fuse::InHeader header = {
        .length = static_cast<uint32_t>(sizeof header + body.size()),
        .opcode = static_cast<uint32_t>(opcode),
        .unique = ++unique_,
        .node = node,
        .uid = kUid,
        .gid = kGid,
        .pid = 7};
    Bytes message = Joined(header);
    message.insert(message.end(), body.begin(), body.end());
    return message;
  }

  Reply Call(fuse::Opcode opcode, uint64_t node, const Bytes& body = {},
             uint32_t room = kRoom) {
    const std::optional<Bytes> bytes = send_(Message(opcode, node, body), room);
    if (!bytes.has_value() || bytes->size() < sizeof(fuse::OutHeader)) {
      return {};
    }
    fuse::OutHeader header;
    std::memcpy(&header, bytes->data(), sizeof header);
    EXPECT_EQ(header.length, bytes->size());
    EXPECT_EQ(header.unique, unique_);
    EXPECT_LE(header.error, 0);
    EXPECT_GT(header.error, -4096);
    if (header.error != 0) {
      EXPECT_EQ(bytes->size(), sizeof header);
    }
    return {.error = -header.error,
            .payload = {bytes->begin() + sizeof header, bytes->end()}};
  }

  // INIT as Linux 6.1 sends it: all of its flags.
  Reply Init() {
    return Call(fuse::Opcode::kInit, 0,
                Joined(fuse::InitIn{.major = fuse::kMajor,
                                    .minor = fuse::kMinor,
                                    .max_readahead = 131072,
                                    .flags = 0x73fffffb},
                       std::string(48, '\0')));
  }
  uint64_t Lookup(const std::string& name, uint64_t parent = fuse::kRootNode) {
    const Reply reply = Call(fuse::Opcode::kLookup, parent, Joined(Name(name)));
    EXPECT_EQ(reply.error, 0) << name;
    return reply.error == 0 ? reply.As<fuse::EntryOut>().node : 0;
  }
  uint64_t Open(uint64_t node, uint32_t flags) {
    const Reply reply =
        Call(fuse::Opcode::kOpen, node, Joined(fuse::OpenIn{.flags = flags}));
    EXPECT_EQ(reply.error, 0);
    return reply.error == 0 ? reply.As<fuse::OpenOut>().handle : 0;
  }
  Reply Read(uint64_t handle, uint64_t offset, uint32_t size) {
    return Call(
        fuse::Opcode::kRead, 0,
        Joined(fuse::ReadIn{.handle = handle, .offset = offset, .size = size}),
        static_cast<uint32_t>(sizeof(fuse::OutHeader)) + size);
  }
  Reply Write(uint64_t handle, uint64_t offset, const std::string& text) {
    return Call(
        fuse::Opcode::kWrite, 0,
        Joined(fuse::WriteIn{.handle = handle,
                             .offset = offset,
                             .size = static_cast<uint32_t>(text.size())},
               text));
  }

 private:
  Send send_;
  uint64_t unique_ = 0;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_DEVICES_VIRTIO_FS_FUSE_TEST_CLIENT_H_
