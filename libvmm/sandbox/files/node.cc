// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/files/node.h"

#include <dirent.h>
#include <sys/stat.h>

#include <type_traits>

namespace libvmm::sandbox::internal {
namespace {

// A node with its places in tables.
constexpr uint64_t kNodeCharge = 512;

// Character devices 1:3 and so on, as devices.txt of Linux numbers them.
constexpr uint32_t kMemoryDevices = 1;

uint32_t MinorOf(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kNull:
      return 3;
    case DeviceKind::kZero:
      return 5;
    case DeviceKind::kFull:
      return 7;
    case DeviceKind::kRandom:
      return 8;
    case DeviceKind::kUrandom:
      return 9;
  }
  return 0;
}

constexpr uint64_t kStatBlockSize = 512;

// Vectors of nodes move them when they grow.
static_assert(std::is_nothrow_move_constructible_v<Node>);

}  // namespace

uint32_t TypeBits(const Node& node) {
  if (node.file() != nullptr) return S_IFREG;
  if (node.directory() != nullptr) return S_IFDIR;
  if (node.link_target() != nullptr) return S_IFLNK;
  if (node.device() != nullptr) return S_IFCHR;
  return S_IFIFO;
}

uint8_t EntryType(const Node& node) { return IFTODT(TypeBits(node)); }

uint64_t ChargeOf(const Node& node) {
  if (const FileContents* file = node.file()) {
    return kNodeCharge + file->charge();
  }
  if (const Directory* directory = node.directory()) {
    return kNodeCharge + directory->charge();
  }
  if (const std::string* target = node.link_target()) {
    return kNodeCharge + target->size();
  }
  return kNodeCharge + (node.pipe() != nullptr ? PipeBuffer::kCapacity : 0);
}

FileStat StatOf(uint64_t inode, const Node& node) {
  FileStat stat = {.inode = inode,
                   .mode = TypeBits(node) | node.permissions,
                   .links = node.links,
                   .user = node.user,
                   .group = node.group,
                   .access_time = node.access_time,
                   .modify_time = node.modify_time,
                   .change_time = node.change_time};
  if (const FileContents* file = node.file()) {
    stat.size = file->size();
    stat.blocks = (file->allocated() + kStatBlockSize - 1) / kStatBlockSize;
  } else if (node.directory() != nullptr) {
    stat.size = kFileBlockSize;
    stat.blocks = kFileBlockSize / kStatBlockSize;
  } else if (const std::string* target = node.link_target()) {
    stat.size = target->size();
  } else if (const DeviceKind* device = node.device()) {
    stat.device_major = kMemoryDevices;
    stat.device_minor = MinorOf(*device);
  }
  return stat;
}

}  // namespace libvmm::sandbox::internal
