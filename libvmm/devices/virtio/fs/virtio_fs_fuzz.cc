// SPDX-License-Identifier: Apache-2.0
// FUSE messages by chance, whole and broken, through the device's queues, in
// both layouts, to a directory of the host. After each: a reply has the header
// that belongs to it and is no longer than its room; nodes, open files and
// handles are within their limits. At the end: nothing beside the share has
// changed, nor in it when it is read-only; after a reset nothing is held.
// Input: a byte of options, then messages: opcode, node, handle, name, another
// name, how the chain is cut, room, and a byte of how many bytes follow that
// overwrite the message from somewhere.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libvmm/base/address.h"
#include "libvmm/devices/virtio/fs/fuse_protocol.h"
#include "libvmm/devices/virtio/fs/host_directory.h"
#include "libvmm/devices/virtio/fs/share_test_directory.h"
#include "libvmm/devices/virtio/fs/virtio_fs.h"
#include "libvmm/testing/virtio_test_link.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm {
namespace {

using fuse::Opcode;
using testing::ShareTestDirectory;
using testing::VirtioTestLink;
using testing::VirtqueueDriver;

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

constexpr uint32_t kMaxNodes = 24;
constexpr uint32_t kMaxHandles = 6;
constexpr uint32_t kMaxOpen = 64 + kMaxHandles;
constexpr int kMaxMessages = 60;

class Input {
 public:
  Input(const uint8_t* data, size_t size) : bytes_(data, size) {}
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  uint8_t Byte() {
    if (bytes_.empty()) return 0;
    const uint8_t byte = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return byte;
  }

 private:
  std::span<const uint8_t> bytes_;
};

// One for the process: directories take long to make.
ShareTestDirectory& Share() {
  static ShareTestDirectory& share = *[] {
    // In memory if there is such a place, and no file longer than this.
    if (::access("/dev/shm", W_OK) == 0) ::setenv("TEST_TMPDIR", "/dev/shm", 1);
    ::signal(SIGXFSZ, SIG_IGN);
    rlimit limit;
    FUZZ_CHECK(::getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = 1 << 20;
    FUZZ_CHECK(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    auto* const made = new ShareTestDirectory();
    static const std::string base = made->Outside();
    std::atexit([] {
      std::error_code error;
      std::filesystem::remove_all(base, error);
    });
    return made;
  }();
  return share;
}

// All that is in the share.
std::string StateOf(const ShareTestDirectory& share) {
  std::vector<std::string> lines;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(share.Path())) {
    struct stat stat;
    FUZZ_CHECK(::lstat(entry.path().c_str(), &stat) == 0);
    std::array<char, 200> line;
    std::snprintf(
        line.data(), line.size(), " %o %lld %lld.%09ld %lld.%09ld",
        stat.st_mode, static_cast<long long>(stat.st_size),
        static_cast<long long>(stat.st_mtim.tv_sec), stat.st_mtim.tv_nsec,
        static_cast<long long>(stat.st_ctim.tv_sec), stat.st_ctim.tv_nsec);
    lines.push_back(entry.path().string() + line.data());
  }
  std::sort(lines.begin(), lines.end());
  std::string all;
  for (const std::string& line : lines) all += line + "\n";
  return all;
}

template <typename T>
void Append(std::vector<std::byte>& bytes, const T& value) {
  const auto from = std::as_bytes(std::span(&value, 1));
  bytes.insert(bytes.end(), from.begin(), from.end());
}

class Session {
 public:
  explicit Session(Input& input) : input_(input) {
    const uint8_t options = input.Byte();
    read_only_ = (options & 1) != 0;
    share_.Clear();
    share_.WriteFile("f", "some text");
    share_.MakeDirectory("d");
    share_.WriteFile("d/f", "other text");
    share_.MakeLink("l", "../vault");
    share_.MakeLink("m", share_.Outside("secret"));
    FUZZ_CHECK(::mkfifo(share_.Path("p").c_str(), 0644) == 0);
    before_ = StateOf(share_);
    tree_ = *HostDirectory::Create({.path = share_.Path(),
                                    .read_only = read_only_,
                                    .max_nodes = kMaxNodes,
                                    .max_open_nodes = kMaxOpen,
                                    .max_handles = kMaxHandles});
    device_ = *VirtioFs::Create({.tag = "fuzz", .queue_size = 32}, *tree_);
    link_ = std::make_unique<VirtioTestLink>(
        *device_, VirtioTestLink::Options{.packed = (options & 2) != 0,
                                          .indirect = (options & 4) != 0,
                                          .event_index = (options & 8) != 0,
                                          .in_order = (options & 16) != 0,
                                          .queue_size = 32,
                                          .memory_size = 1 << 20});
  }

  void Run() {
    Restart();
    for (int i = 0; i < kMaxMessages && !input_.empty(); ++i) {
      OneMessage();
      const HostDirectory::Usage usage = tree_->usage();
      FUZZ_CHECK(usage.nodes >= 1 && usage.nodes <= kMaxNodes);
      FUZZ_CHECK(usage.open_nodes <= kMaxOpen);
      FUZZ_CHECK(usage.handles <= kMaxHandles);
      if (link_->failed()) Restart();
    }
    link_->Reset();
    const HostDirectory::Usage usage = tree_->usage();
    FUZZ_CHECK(usage.nodes == 1 && usage.open_nodes == 1);
    FUZZ_CHECK(usage.handles == 0);
    if (read_only_) FUZZ_CHECK(StateOf(share_) == before_);
  }

 private:
  void Restart() {
    // A link that failed stays so; the next one is as the first.
    if (link_->failed()) {
      const bool packed = link_->driver(0).config().packed;
      link_.reset();
      link_ = std::make_unique<VirtioTestLink>(
          *device_,
          VirtioTestLink::Options{
              .packed = packed, .queue_size = 32, .memory_size = 1 << 20});
    }
    FUZZ_CHECK(link_->Activate());
    nodes_ = {0, 1, 2, 3, ~uint64_t{0}};
    handles_ = {0, 1, uint64_t{1} << 32};
    std::vector<std::byte> init;
    Append(init, fuse::InHeader{.length = 56,
                                .opcode = static_cast<uint32_t>(Opcode::kInit),
                                .unique = 5});
    Append(init, fuse::InitIn{.major = 7, .minor = 38, .flags = ~0u});
    const auto reply = link_->Request(1, init, 200);
    FUZZ_CHECK(reply.has_value() && reply->written == 80);
  }

  std::string SomeName() {
    static const std::array<std::string, 20> kNames = {
        "f",      "d",      "l",    "m",
        "p",      "n",      "o",    "d/f",
        "..",     ".",      "",     "/",
        "secret", "vault",  "gold", std::string(255, 'x'),
        "..f",    "l/gold", "\xff", std::string(256, 'y')};
    return kNames[input_.Byte() % kNames.size()];
  }
  uint64_t SomeNode() { return nodes_[input_.Byte() % nodes_.size()]; }
  uint64_t SomeHandle() { return handles_[input_.Byte() % handles_.size()]; }
  // Small, or near the ends of what a file can have.
  uint64_t SomeNumber() {
    const uint8_t byte = input_.Byte();
    if (byte < 240) return byte;
    return (uint64_t{1} << (byte % 16 * 4 + 3)) - (byte & 1);
  }

  std::vector<std::byte> Body(Opcode opcode) {
    std::vector<std::byte> body;
    const auto text = [&body](const std::string& name) {
      for (const char c : name) body.push_back(static_cast<std::byte>(c));
      body.push_back(std::byte{0});
    };
    const uint64_t handle = SomeHandle();
    switch (opcode) {
      case Opcode::kLookup:
      case Opcode::kUnlink:
      case Opcode::kRemoveDirectory:
        text(SomeName());
        break;
      case Opcode::kForget:
        Append(body, fuse::ForgetIn{.lookups = SomeNumber()});
        break;
      case Opcode::kBatchForget:
        Append(body, fuse::BatchForgetIn{
                         .count = static_cast<uint32_t>(SomeNumber())});
        for (int i = 0; i < 3; ++i) {
          Append(body, fuse::ForgetOne{.node = SomeNode(), .lookups = 1});
        }
        break;
      case Opcode::kGetAttributes:
        Append(body, fuse::GetAttributesIn{
                         .flags = static_cast<uint32_t>(SomeNumber()),
                         .handle = handle});
        break;
      case Opcode::kSetAttributes: {
        fuse::SetAttributesIn in = {
            .valid = static_cast<uint32_t>(input_.Byte()) |
                     static_cast<uint32_t>(input_.Byte()) << 8,
            .handle = handle,
            .size = SomeNumber(),
            .access_time = SomeNumber(),
            .modify_time = SomeNumber()};
        in.mode = input_.Byte() * 17;
        // Most often the owner that it has.
        in.uid = ::geteuid() + input_.Byte() / 128;
        in.gid = ::getegid();
        Append(body, in);
        break;
      }
      case Opcode::kSymlink:
        text(SomeName());
        text(SomeName());
        break;
      case Opcode::kMakeNode:
        Append(body, fuse::MakeNodeIn{
                         .mode = static_cast<uint32_t>(input_.Byte()) << 12 |
                                 input_.Byte() * 17u,
                         .umask = input_.Byte()});
        text(SomeName());
        break;
      case Opcode::kMakeDirectory:
        Append(body, fuse::MakeDirectoryIn{.mode = input_.Byte() * 17u});
        text(SomeName());
        break;
      case Opcode::kLink:
        Append(body, fuse::LinkIn{.old_node = SomeNode()});
        text(SomeName());
        break;
      case Opcode::kRename:
        Append(body, fuse::RenameIn{.new_parent = SomeNode()});
        text(SomeName());
        text(SomeName());
        break;
      case Opcode::kRename2:
        Append(body, fuse::Rename2In{.new_parent = SomeNode(),
                                     .flags = input_.Byte() % 5u});
        text(SomeName());
        text(SomeName());
        break;
      case Opcode::kOpen:
      case Opcode::kOpenDirectory:
        Append(body, fuse::OpenIn{.flags = OpenFlags()});
        break;
      case Opcode::kCreate:
        Append(body, fuse::CreateIn{.flags = OpenFlags(),
                                    .mode = input_.Byte() * 17u});
        text(SomeName());
        break;
      case Opcode::kRead:
      case Opcode::kReadDirectory:
      case Opcode::kReadDirectoryPlus:
        Append(body,
               fuse::ReadIn{.handle = handle,
                            .offset = SomeNumber(),
                            .size = static_cast<uint32_t>(SomeNumber() * 16)});
        break;
      case Opcode::kWrite: {
        const uint8_t size = input_.Byte();
        Append(body,
               fuse::WriteIn{
                   .handle = handle, .offset = SomeNumber(), .size = size});
        body.resize(body.size() + size, std::byte{'w'});
        break;
      }
      case Opcode::kRelease:
      case Opcode::kReleaseDirectory:
        Append(body, fuse::ReleaseIn{.handle = handle});
        break;
      case Opcode::kSync:
      case Opcode::kSyncDirectory:
        Append(body, fuse::SyncIn{.handle = handle});
        break;
      case Opcode::kAllocate:
        Append(body, fuse::AllocateIn{.handle = handle,
                                      .offset = SomeNumber(),
                                      .length = SomeNumber(),
                                      .mode = input_.Byte()});
        break;
      case Opcode::kSeek:
        Append(body, fuse::SeekIn{.handle = handle,
                                  .offset = SomeNumber(),
                                  .whence = input_.Byte() % 6u});
        break;
      case Opcode::kCopyFileRange:
        Append(body, fuse::CopyFileRangeIn{.from_handle = handle,
                                           .from_offset = SomeNumber(),
                                           .to_handle = SomeHandle(),
                                           .to_offset = SomeNumber(),
                                           .length = SomeNumber()});
        break;
      default:
        Append(body, SomeNumber());
        break;
    }
    return body;
  }

  uint32_t OpenFlags() {
    static constexpr std::array<uint32_t, 8> kFlags = {O_RDONLY,
                                                       O_RDWR,
                                                       O_WRONLY,
                                                       O_RDWR | O_TRUNC,
                                                       O_RDONLY | O_TRUNC,
                                                       O_RDWR | O_APPEND,
                                                       O_PATH,
                                                       ~0u};
    return kFlags[input_.Byte() % kFlags.size()];
  }

  void OneMessage() {
    ++unique_;
    const auto opcode = static_cast<Opcode>(input_.Byte() % 56);
    const uint64_t node = SomeNode();
    const std::vector<std::byte> body = Body(opcode);
    std::vector<std::byte> message;
    Append(message, fuse::InHeader{.length = static_cast<uint32_t>(
                                       sizeof(fuse::InHeader) + body.size()),
                                   .opcode = static_cast<uint32_t>(opcode),
                                   .unique = unique_,
                                   .node = node});
    message.insert(message.end(), body.begin(), body.end());
    // Then something is not as it should be.
    const uint8_t damage = input_.Byte();
    const size_t at = input_.Byte() % message.size();
    for (size_t i = 0; i < damage % 8u && at + i < message.size(); ++i) {
      message[at + i] = static_cast<std::byte>(input_.Byte());
    }
    if (damage >= 0xf0) message.resize(at + 1);

    const uint8_t cut = input_.Byte();
    uint32_t room = input_.Byte() * 16u;
    if (room == 16 * 255) room = 65536;
    Send(opcode, message, cut, room);
  }

  void Send(Opcode opcode, const std::vector<std::byte>& message, uint8_t cut,
            uint32_t room) {
    link_->FreeAll();
    const uint16_t queue = cut % 8 == 7 ? 0 : 1;
    VirtqueueDriver& driver = link_->driver(queue);
    const Gpa out = link_->Put(message);
    const Gpa in = link_->Allocate(room + 1);
    std::vector<VirtqueueDriver::Buffer> buffers;
    const auto split = [&](Gpa start, uint32_t size, bool writable) {
      const uint32_t pieces = 1 + cut / 8u % 5u;
      uint32_t done = 0;
      for (uint32_t i = 1; i <= pieces; ++i) {
        const uint32_t end = size * i / pieces;
        if (end == done) continue;
        buffers.push_back(
            {.gpa = start + done, .size = end - done, .writable = writable});
        done = end;
      }
    };
    split(out, static_cast<uint32_t>(message.size()), false);
    split(in, room, true);
    const std::optional<uint16_t> id =
        driver.Add(buffers, cut >= 128 && driver.config().indirect
                                ? VirtqueueDriver::Layout::kIndirect
                                : VirtqueueDriver::Layout::kDirect);
    if (!id.has_value()) return;
    driver.Publish();
    link_->Notify(queue);
    if (link_->failed()) return;
    const std::optional<VirtqueueDriver::Used> used = driver.Collect();
    FUZZ_CHECK(used.has_value() && used->id == *id);
    FUZZ_CHECK(used->written <= room);
    if (used->written == 0) return;
    FUZZ_CHECK(used->written >= sizeof(fuse::OutHeader));
    const std::vector<std::byte> bytes = link_->Bytes(in, used->written);
    fuse::OutHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    uint64_t unique = 0;
    std::memcpy(&unique, message.data() + offsetof(fuse::InHeader, unique),
                sizeof unique);
    FUZZ_CHECK(header.length == used->written);
    FUZZ_CHECK(header.error <= 0 && header.error > -4096);
    FUZZ_CHECK(header.unique == unique);
    FUZZ_CHECK(header.error == 0 || used->written == sizeof header);
    if (header.error == 0) Remember(opcode, bytes);
  }

  // Numbers that the device gave, to be used again.
  void Remember(Opcode opcode, const std::vector<std::byte>& bytes) {
    size_t at = sizeof(fuse::OutHeader);
    fuse::EntryOut entry;
    if (bytes.size() >= at + sizeof entry) {
      std::memcpy(&entry, bytes.data() + at, sizeof entry);
      if (opcode == Opcode::kReadDirectoryPlus || opcode == Opcode::kLookup ||
          opcode == Opcode::kCreate || opcode == Opcode::kMakeDirectory ||
          opcode == Opcode::kSymlink || opcode == Opcode::kMakeNode ||
          opcode == Opcode::kLink) {
        nodes_.push_back(entry.node);
        at += sizeof entry;
      }
    }
    fuse::OpenOut open;
    if (bytes.size() == at + sizeof open) {
      std::memcpy(&open, bytes.data() + at, sizeof open);
      handles_.push_back(open.handle);
    }
  }

  Input& input_;
  ShareTestDirectory& share_ = Share();
  std::string before_;
  bool read_only_ = false;
  std::unique_ptr<HostDirectory> tree_;
  std::unique_ptr<VirtioFs> device_;
  std::unique_ptr<VirtioTestLink> link_;
  std::vector<uint64_t> nodes_;
  std::vector<uint64_t> handles_;
  uint64_t unique_ = 100;
};

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string outside = libvmm::Share().OutsideState();
  libvmm::Input input(data, size);
  libvmm::Session(input).Run();
  FUZZ_CHECK(libvmm::Share().OutsideState() == outside);
  return 0;
}
