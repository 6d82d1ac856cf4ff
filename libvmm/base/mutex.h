// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BASE_MUTEX_H_
#define LIBVMM_BASE_MUTEX_H_

#include <mutex>

#include "absl/base/thread_annotations.h"

namespace libvmm {

// std::mutex with the annotations that clang's -Wthread-safety reads.
// Registration and set-up paths use it; the exit path takes no lock.
//
// Thread-safety: thread-safe. Not recursive.
// Cost: no system call when uncontended.
class ABSL_LOCKABLE Mutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

// Holds a Mutex for a scope.
class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex)
      : mutex_(mutex) {
    mutex_.Lock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_.Unlock(); }

 private:
  Mutex& mutex_;
};

}  // namespace libvmm

#endif  // LIBVMM_BASE_MUTEX_H_
