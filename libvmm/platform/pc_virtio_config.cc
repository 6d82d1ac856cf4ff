// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_virtio_config.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libvmm/base/status_macros.h"

namespace libvmm {

namespace {

// Virtio 1.2, section 5.2.6.1: the id string of a block device.
constexpr size_t kMaxSerialSize = 20;
// Section 5.11.4: the tag of a file system device.
constexpr size_t kMaxTagSize = 36;
// Linux's limits: the size of an interface's name with its end (IFNAMSIZ), and
// of a socket's path.
constexpr size_t kMaxInterfaceName = 15;
constexpr size_t kMaxSocketPath = 107;
// "_" and the digits of a port of 32 bits, behind the path of a vsock's socket.
constexpr size_t kPortSuffix = 11;
// Section 5.10.4: 0, 1 and 2 are somebody else's, 0xffffffff means any.
constexpr uint64_t kMinCid = 3;
constexpr uint64_t kMaxCid = 0xfffffffe;
constexpr uint32_t kMaxQueues = 64;
// Whose pages of 4 KiB the device can count (virtio 1.2, section 5.5.4).
constexpr uint32_t kMaxBalloonMib = UINT32_MAX / 256;
constexpr size_t kMaxPorts = 30;
constexpr size_t kMaxPortName = 63;

template <typename... Words>
absl::Status Wrong(const Words&... words) {
  return absl::InvalidArgumentError(absl::StrCat(words...));
}

absl::Status CheckSize(absl::string_view field, absl::string_view value,
                       size_t most) {
  if (value.size() <= most) return absl::OkStatus();
  return Wrong(field, " has ", value.size(), " bytes, expected at most ", most);
}

absl::Status CheckName(absl::string_view field, absl::string_view value,
                       size_t most) {
  if (value.empty()) return Wrong(field, " is empty");
  return CheckSize(field, value, most);
}

// Names that a guest makes files of.
absl::Status CheckFileName(absl::string_view field, absl::string_view value,
                           size_t most) {
  LIBVMM_RETURN_IF_ERROR(CheckName(field, value, most));
  if (value == "." || value == ".." || std::ranges::any_of(value, [](char c) {
        return !absl::ascii_isgraph(c) || c == '/';
      })) {
    return Wrong(field,
                 " is no name of printable characters without a blank and '/'");
  }
  return absl::OkStatus();
}

absl::Status CheckQueues(absl::string_view path, uint32_t queues) {
  if (queues >= 1 && queues <= kMaxQueues) return absl::OkStatus();
  return Wrong(path, ".queues is ", queues, ", expected 1 to ", kMaxQueues);
}

absl::Status Validate(absl::string_view path, const PcDisk& disk) {
  LIBVMM_RETURN_IF_ERROR(CheckQueues(path, disk.queues));
  return CheckSize(absl::StrCat(path, ".serial"), disk.serial, kMaxSerialSize);
}

absl::Status Validate(absl::string_view, const std::monostate&) {
  return absl::OkStatus();
}
absl::Status Validate(absl::string_view path, const PcTapNet& tap) {
  return CheckFileName(absl::StrCat(path, ".tap.name"), tap.name,
                       kMaxInterfaceName);
}
absl::Status Validate(absl::string_view, const PcUserNet&) {
  return absl::OkStatus();
}
absl::Status Validate(absl::string_view path, const PcPairNet& pair) {
  if (!pair.name.empty()) return absl::OkStatus();
  return Wrong(path, ".pair.name is empty");
}

absl::Status Validate(absl::string_view path, const PcNet& net) {
  LIBVMM_RETURN_IF_ERROR(std::visit(
      [&](const auto& peer) { return Validate(path, peer); }, net.peer));
  if (!net.mac.empty()) {
    const absl::Status status = ParsePcMac(net.mac).status();
    if (!status.ok()) return Wrong(path, ".mac ", status.message());
  }
  return CheckQueues(path, net.queues);
}

absl::Status Validate(const PcVsock& vsock) {
  if (vsock.cid < kMinCid || vsock.cid > kMaxCid) {
    return Wrong("virtio.vsock.cid is ", vsock.cid, ", expected ", kMinCid,
                 " to ", kMaxCid);
  }
  return CheckSize("virtio.vsock.uds_path", vsock.uds_path,
                   kMaxSocketPath - kPortSuffix);
}

absl::Status Validate(absl::string_view path, const PcShare& share) {
  if (share.directory.empty()) return Wrong(path, ".directory is empty");
  return CheckName(absl::StrCat(path, ".tag"), share.tag, kMaxTagSize);
}

absl::Status Validate(const PcBalloon& balloon) {
  if (balloon.target_mib <= kMaxBalloonMib) return absl::OkStatus();
  return Wrong("virtio.balloon.target_mib is ", balloon.target_mib,
               ", expected at most ", kMaxBalloonMib);
}

absl::Status Validate(const PcConsole& console) {
  if (console.ports.size() > kMaxPorts) {
    return Wrong("virtio.console.ports has ", console.ports.size(),
                 " ports, expected at most ", kMaxPorts);
  }
  for (size_t i = 0; i < console.ports.size(); ++i) {
    LIBVMM_RETURN_IF_ERROR(
        CheckFileName(absl::StrCat("virtio.console.ports[", i, "].name"),
                      console.ports[i].name, kMaxPortName));
  }
  return absl::OkStatus();
}

// `name` is a pointer to the member that each of `list` has for itself alone.
template <typename Item>
absl::Status CheckDistinct(absl::string_view list_path,
                           const std::vector<Item>& list,
                           absl::string_view member, std::string Item::*name) {
  for (size_t i = 0; i < list.size(); ++i) {
    for (size_t before = 0; before < i; ++before) {
      if (list[i].*name != list[before].*name) continue;
      return Wrong(list_path, "[", i, "].", member, " is '", list[i].*name,
                   "', as ", list_path, "[", before, "].", member);
    }
  }
  return absl::OkStatus();
}

template <typename Item>
absl::Status ValidateEach(absl::string_view list_path,
                          const std::vector<Item>& list) {
  for (size_t i = 0; i < list.size(); ++i) {
    LIBVMM_RETURN_IF_ERROR(
        Validate(absl::StrCat(list_path, "[", i, "]"), list[i]));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PcMac> ParsePcMac(absl::string_view text) {
  constexpr size_t kDigits = 2;
  constexpr uint8_t kMulticast = 1;
  const absl::Status wrong =
      Wrong("is '", text, "', expected six bytes, as in 52:54:00:12:34:56");
  PcMac mac = {};
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  if (parts.size() != mac.size()) return wrong;
  for (size_t i = 0; i < mac.size(); ++i) {
    uint32_t byte = 0;
    if (parts[i].size() != kDigits ||
        !std::ranges::all_of(parts[i], absl::ascii_isxdigit) ||
        !absl::SimpleHexAtoi(parts[i], &byte)) {
      return wrong;
    }
    mac[i] = static_cast<uint8_t>(byte);
  }
  if ((mac[0] & kMulticast) != 0) {
    return Wrong("is '", text, "', a multicast address");
  }
  if (mac == PcMac{}) return Wrong("is '", text, "', no address");
  return mac;
}

absl::Status ValidatePcVirtioConfig(const PcVirtioConfig& config) {
  LIBVMM_RETURN_IF_ERROR(ValidateEach("virtio.disks", config.disks));
  LIBVMM_RETURN_IF_ERROR(ValidateEach("virtio.nets", config.nets));
  if (config.vsock.has_value()) {
    LIBVMM_RETURN_IF_ERROR(Validate(*config.vsock));
  }
  LIBVMM_RETURN_IF_ERROR(ValidateEach("virtio.shares", config.shares));
  LIBVMM_RETURN_IF_ERROR(
      CheckDistinct("virtio.shares", config.shares, "tag", &PcShare::tag));
  if (config.balloon.has_value()) {
    LIBVMM_RETURN_IF_ERROR(Validate(*config.balloon));
  }
  if (!config.console.has_value()) return absl::OkStatus();
  LIBVMM_RETURN_IF_ERROR(Validate(*config.console));
  return CheckDistinct("virtio.console.ports", config.console->ports, "name",
                       &PcConsolePort::name);
}

}  // namespace libvmm
