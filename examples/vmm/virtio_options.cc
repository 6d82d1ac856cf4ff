// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/virtio_options.h"

#include <optional>
#include <string>
#include <utility>

#include "examples/vmm/option_words.h"

namespace vmm {

using namespace libvmm;

namespace {

// The first word of `text`, which has a meaning by its place; `rest` is what
// lies behind its comma, and nothing where there is none.
absl::string_view FirstWord(absl::string_view text,
                            std::optional<absl::string_view>& rest) {
  const size_t comma = text.find(',');
  rest = std::nullopt;
  if (comma != absl::string_view::npos) rest = text.substr(comma + 1);
  return text.substr(0, comma);
}

// The words behind the first one.
bool ForEachWordOf(std::optional<absl::string_view> text,
                   absl::FunctionRef<bool(const OptionWord& word)> take) {
  return !text.has_value() || ForEachWord(*text, take);
}

bool TakeTransport(absl::string_view value, PcVirtioTransport& transport) {
  if (value == "pci") {
    transport = PcVirtioTransport::kPci;
  } else if (value == "mmio") {
    transport = PcVirtioTransport::kMmio;
  } else {
    return false;
  }
  return true;
}

bool TakeDoorbell(absl::string_view value, PcVirtioDoorbell& doorbell) {
  if (value == "inline") {
    doorbell = PcVirtioDoorbell::kInline;
  } else if (value == "eventfd") {
    doorbell = PcVirtioDoorbell::kEventFd;
  } else if (value == "poll") {
    doorbell = PcVirtioDoorbell::kPoll;
  } else {
    return false;
  }
  return true;
}

// The words that every device takes.
bool TakePlug(const OptionWord& word, PcVirtioPlug& plug) {
  if (word.key == "transport") return TakeTransport(word.value, plug.transport);
  if (word.key == "doorbell") return TakeDoorbell(word.value, plug.doorbell);
  return false;
}

bool TakeFlag(const OptionWord& word, bool& flag) {
  flag = true;
  return !word.has_value;
}

bool TakeText(const OptionWord& word, std::string& text) {
  text = std::string(word.value);
  return !word.value.empty();
}

// OPS, OPS/BYTES.
bool TakeLimit(absl::string_view value, PcRateLimit& limit) {
  const size_t slash = value.find('/');
  if (!ParseSize(value.substr(0, slash), limit.operations)) return false;
  return slash == absl::string_view::npos ||
         ParseSize(value.substr(slash + 1), limit.bytes);
}

bool TakeCache(absl::string_view value, PcDisk::Cache& cache) {
  if (value == "writeback") {
    cache = PcDisk::Cache::kWriteback;
  } else if (value == "none") {
    cache = PcDisk::Cache::kNone;
  } else if (value == "unsafe") {
    cache = PcDisk::Cache::kUnsafe;
  } else {
    return false;
  }
  return true;
}

bool TakeDiskWord(const OptionWord& word, PcDisk& disk) {
  if (word.key == "ro") return TakeFlag(word, disk.read_only);
  if (word.key == "io_uring") {
    disk.io = PcDisk::Io::kIoUring;
    return !word.has_value;
  }
  if (word.key == "cache") return TakeCache(word.value, disk.cache);
  if (word.key == "limit") return TakeLimit(word.value, disk.limit);
  if (word.key == "queues") return ParseNumber(word.value, disk.queues);
  if (word.key == "serial") return TakeText(word, disk.serial);
  return TakePlug(word, disk.plug);
}

bool TakePeer(const OptionWord& word, PcNetPeer& peer) {
  if (word.key == "user") {
    peer = PcUserNet();
    return !word.has_value;
  }
  std::string name(word.value);
  if (name.empty()) return false;
  if (word.key == "tap") {
    peer = PcTapNet{.name = std::move(name)};
  } else if (word.key == "pair") {
    peer = PcPairNet{.name = std::move(name)};
  } else {
    return false;
  }
  return true;
}

bool TakeNetWord(const OptionWord& word, PcNet& net) {
  if (word.key == "mac") return TakeText(word, net.mac);
  if (word.key == "queues") return ParseNumber(word.value, net.queues);
  if (word.key == "limit") return TakeLimit(word.value, net.limit);
  return TakePlug(word, net.plug);
}

}  // namespace

absl::StatusOr<PcDisk> ParseDisk(absl::string_view text) {
  PcDisk disk;
  std::optional<absl::string_view> rest;
  disk.path = std::string(FirstWord(text, rest));
  if (disk.path.empty() || !ForEachWordOf(rest, [&](const OptionWord& word) {
        return TakeDiskWord(word, disk);
      })) {
    return Takes("--disk",
                 "FILE[,ro][,io_uring][,cache=none|writeback|unsafe]"
                 "[,limit=OPS[/BYTES]][,queues=N][,serial=ID]"
                 "[,transport=pci|mmio][,doorbell=inline|eventfd|poll]",
                 text);
  }
  return disk;
}

absl::StatusOr<PcNet> ParseNet(absl::string_view text) {
  PcNet net;
  std::optional<absl::string_view> rest;
  if (!TakePeer(SplitWord(FirstWord(text, rest)), net.peer) ||
      !ForEachWordOf(rest, [&](const OptionWord& word) {
        return TakeNetWord(word, net);
      })) {
    return Takes("--net",
                 "tap=NAME, user or pair=NAME, and [,mac=ADDRESS][,queues=N]"
                 "[,limit=PACKETS[/BYTES]][,transport=pci|mmio]"
                 "[,doorbell=inline|eventfd|poll]",
                 text);
  }
  return net;
}

absl::StatusOr<PcVsock> ParseVsock(absl::string_view text) {
  PcVsock vsock;
  std::optional<absl::string_view> rest;
  if (!ParseNumber(FirstWord(text, rest), vsock.cid) ||
      !ForEachWordOf(rest, [&](const OptionWord& word) {
        if (word.key == "uds") return TakeText(word, vsock.uds_path);
        return TakePlug(word, vsock.plug);
      })) {
    return Takes("--vsock",
                 "CID[,uds=PATH][,transport=pci|mmio]"
                 "[,doorbell=inline|eventfd|poll]",
                 text);
  }
  return vsock;
}

absl::StatusOr<PcShare> ParseShare(absl::string_view text) {
  PcShare share;
  std::optional<absl::string_view> rest;
  const absl::string_view first = FirstWord(text, rest);
  const size_t colon = first.rfind(':');
  if (colon != absl::string_view::npos) {
    share.directory = std::string(first.substr(0, colon));
    share.tag = std::string(first.substr(colon + 1));
  }
  if (share.directory.empty() || share.tag.empty() ||
      !ForEachWordOf(rest, [&](const OptionWord& word) {
        if (word.key == "ro") return TakeFlag(word, share.read_only);
        return TakePlug(word, share.plug);
      })) {
    return Takes("--share",
                 "DIRECTORY:TAG[,ro][,transport=pci|mmio]"
                 "[,doorbell=inline|eventfd|poll]",
                 text);
  }
  return share;
}

absl::StatusOr<PcRng> ParseRng(absl::string_view text) {
  PcRng rng;
  if (!text.empty() && !ForEachWord(text, [&](const OptionWord& word) {
        if (word.key == "limit") return ParseSize(word.value, rng.bytes_limit);
        return TakePlug(word, rng.plug);
      })) {
    return Takes("--rng",
                 "nothing, or [limit=BYTES][,transport=pci|mmio]"
                 "[,doorbell=inline|eventfd|poll]",
                 text);
  }
  return rng;
}

absl::StatusOr<PcBalloon> ParseBalloon(absl::string_view text) {
  PcBalloon balloon;
  std::optional<absl::string_view> rest;
  if (!text.empty() &&
      (!ParseNumber(FirstWord(text, rest), balloon.target_mib) ||
       !ForEachWordOf(rest, [&](const OptionWord& word) {
         return TakePlug(word, balloon.plug);
       }))) {
    return Takes("--balloon",
                 "nothing, or MIB[,transport=pci|mmio]"
                 "[,doorbell=inline|eventfd|poll]",
                 text);
  }
  return balloon;
}

absl::StatusOr<PcConsole> ParseVirtioConsole(absl::string_view text) {
  PcConsole console;
  if (!text.empty() && !ForEachWord(text, [&](const OptionWord& word) {
        return TakePlug(word, console.plug);
      })) {
    return Takes("--console",
                 "nothing, or [transport=pci|mmio]"
                 "[,doorbell=inline|eventfd|poll]",
                 text);
  }
  return console;
}

absl::StatusOr<PcVirtioDoorbell> ParseDoorbell(absl::string_view text) {
  PcVirtioDoorbell doorbell = PcVirtioDoorbell::kDefault;
  if (!TakeDoorbell(text, doorbell)) {
    return Takes("--doorbell", "inline, eventfd or poll", text);
  }
  return doorbell;
}

void ChooseDoorbells(PcVirtioConfig& virtio) {
  if (virtio.doorbell != PcVirtioDoorbell::kDefault) return;
  const auto choose = [](PcVirtioPlug& plug) {
    if (plug.doorbell != PcVirtioDoorbell::kDefault) return;
    plug.doorbell = PcVirtioDoorbell::kEventFd;
  };
  for (PcDisk& disk : virtio.disks) {
    if (disk.io == PcDisk::Io::kIoUring) choose(disk.plug);
  }
  for (PcNet& net : virtio.nets) choose(net.plug);
}

}  // namespace vmm
