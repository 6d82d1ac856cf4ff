// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_POOL_H_
#define LIBVMM_SANDBOX_POOL_H_

#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/mutex.h"
#include "libvmm/sandbox/image.h"
#include "libvmm/sandbox/sandbox.h"
#include "libvmm/sandbox/sandbox_options.h"

namespace libvmm::sandbox {

// Clones of one image, handed out clean and taken back used. Cleaning happens
// when the embedder calls Clean, on the thread of its choice, and only if it
// falls behind when one is taken.
//
//   Pool pool(image, {.capacity = 64});
//   LIBVMM_RETURN_IF_ERROR(pool.Fill(16));
//   ...
//   LIBVMM_ASSIGN_OR_RETURN(Sandbox sandbox, pool.Take());
//   sandbox.UseThread(&thread);
//   ...
//   LIBVMM_RETURN_IF_ERROR(pool.Return(std::move(sandbox)));
//   ...                                     // when idle, or on another thread:
//   LIBVMM_RETURN_IF_ERROR(pool.Clean().status());
//
// Thread-safety: thread-safe; sandboxes are cleaned and cloned outside of the
//     lock.
// Ownership: owns the sandboxes that are in it, not those taken. Those may
//     outlive it.
// Errors: a sandbox that cannot be reset is destroyed, and the error reported.
// Cost: Take and Return of a clean sandbox are a lock and a move.
class Pool {
 public:
  struct Options {
    // Sandboxes kept, clean and used together; what is returned beyond that is
    // destroyed.
    size_t capacity = 64;
    // Called for each clone; without it clones get an empty SandboxHost. May be
    // called on any thread that calls the pool. Its user_data is not used.
    std::function<SandboxHost()> host{};
    // Clean gives back the memory that a sandbox has written, instead of copying
    // the pages back.
    bool release_memory = false;
    // Clean by ResetStrictly.
    bool strict = false;
  };

  Pool(const Image& image, Options options);

  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // A clean sandbox: one that is there, else a used one that is cleaned now,
  // else a new clone. It has no thread and no user data.
  absl::StatusOr<Sandbox> Take();

  // Takes a sandbox back, in whatever state it is. kInvalidArgument, and the
  // sandbox is destroyed, when it is not of the image.
  absl::Status Return(Sandbox sandbox);

  // Cleans at most `count` used sandboxes; returns how many. After an error the
  // rest stays used.
  absl::StatusOr<size_t> Clean(
      size_t count = std::numeric_limits<size_t>::max());

  // Makes clones until `count` clean ones are there, or capacity() is reached.
  absl::Status Fill(size_t count);

  [[nodiscard]] size_t clean_count() const;
  [[nodiscard]] size_t used_count() const;

 private:
  absl::StatusOr<Sandbox> Clone() const;
  absl::Status Reset(Sandbox& sandbox) const;
  // Adds to the clean ones, unless the pool is full.
  void AddClean(Sandbox sandbox);

  const Image image_;
  const Options options_;
  mutable Mutex mutex_;
  std::vector<Sandbox> clean_ ABSL_GUARDED_BY(mutex_);
  std::vector<Sandbox> used_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_POOL_H_
