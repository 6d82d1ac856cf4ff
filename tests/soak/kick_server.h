// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_KICK_SERVER_H_
#define TESTS_SOAK_KICK_SERVER_H_

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "tests/soak/kick_target.h"

namespace libvmm::soak {

// A thread that kicks on behalf of another one, which is inside Run.
//
// Thread-safety: thread-compatible.
class KickServer {
 public:
  KickServer() : thread_([this] { Serve(); }) {}
  ~KickServer() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  // Returns at once; the kick comes soon.
  void Request(std::shared_ptr<KickTarget> target) {
    std::lock_guard lock(mutex_);
    target_ = std::move(target);
    changed_.notify_all();
  }
  // Waits until the kick that was requested has been made.
  void Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return target_ == nullptr; });
  }

 private:
  void Serve() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return stopping_ || target_ != nullptr; });
      if (target_ == nullptr) return;
      target_->Kick();
      target_.reset();
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<KickTarget> target_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_KICK_SERVER_H_
