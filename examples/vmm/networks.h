// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_VMM_NETWORKS_H_
#define LIBVMM_EXAMPLES_VMM_NETWORKS_H_

#include <map>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/platform/pc_virtio_config.h"
#include "libvmm/platform/pc_virtio_host.h"

namespace vmm {

// The networks of --net user and --net pair=PATH: stream sockets to another
// process, which stay open over the guest's reboots.
//
// - user: the program user_net beside this one, which is started for it. It ends
//   when this process does.
// - pair=PATH: another vmm with the same option. The first of the two waits for
//   the other one at the UNIX socket PATH.
//
// Thread-safety: thread-compatible.
// Ownership: owns the sockets; the back-ends have descriptors of their own.
class Networks {
 public:
  // Opens those of `config`, and waits for their other ends. Before signals are
  // blocked, so that they can end the wait. `waiting` is called before a wait
  // with the socket's path. Errors name the option and what the host says;
  // kInvalidArgument: the user's network, or a PATH, comes twice.
  static absl::StatusOr<Networks> Create(
      const libvmm::PcVirtioConfig& config,
      absl::FunctionRef<void(absl::string_view path)> waiting);

  // As PcVirtioHost::open_net. kInvalidArgument: more than one queue.
  absl::StatusOr<libvmm::PcNetBackends> Open(const libvmm::PcNet& net,
                                             const libvmm::Clock& clock);

 private:
  Networks() = default;

  // By what the option names; "" is the user's.
  std::map<std::string, libvmm::UniqueFd> sockets_;
};

}  // namespace vmm

#endif  // LIBVMM_EXAMPLES_VMM_NETWORKS_H_
