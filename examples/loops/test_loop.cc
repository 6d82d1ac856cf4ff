// SPDX-License-Identifier: Apache-2.0
#include "examples/loops/test_loop.h"

#include <glib.h>
#include <uv.h>

#include <algorithm>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <map>
#include <utility>
#include <vector>

#include "examples/loops/asio_loop.h"
#include "examples/loops/epoll_loop.h"
#include "examples/loops/glib_loop.h"
#include "examples/loops/inline_loop.h"
#include "examples/loops/libuv_loop.h"
#include "libvmm/base/check.h"

namespace loops {

using namespace libvmm;

namespace {

using Sources = std::span<EventSource* const>;

class EpollTestLoop final : public TestLoop {
 public:
  explicit EpollTestLoop(const Clock& clock)
      : loop_(*EpollLoop::Create(clock)) {}
  void Add(Sources sources) override { LIBVMM_CHECK(loop_.Add(sources).ok()); }
  void Remove(Sources sources) override { loop_.Remove(sources); }
  void RunOnce() override { LIBVMM_CHECK(loop_.RunOnce().ok()); }

 private:
  EpollLoop loop_;
};

class LibuvTestLoop final : public TestLoop {
 public:
  explicit LibuvTestLoop(const Clock& clock) : clock_(clock) {
    LIBVMM_CHECK(uv_loop_init(&loop_) == 0);
  }
  ~LibuvTestLoop() override {
    machines_.clear();
    // Handles that are closing.
    uv_run(&loop_, UV_RUN_DEFAULT);
    LIBVMM_CHECK(uv_loop_close(&loop_) == 0);
  }
  void Add(Sources sources) override {
    machines_.emplace(sources.data(),
                      *LibuvSources::Create(&loop_, clock_, sources));
  }
  void Remove(Sources sources) override { machines_.erase(sources.data()); }
  void RunOnce() override { uv_run(&loop_, UV_RUN_ONCE); }

 private:
  const Clock& clock_;
  uv_loop_t loop_;
  std::map<const void*, LibuvSources> machines_;
};

class AsioTestLoop final : public TestLoop {
 public:
  explicit AsioTestLoop(const Clock& clock) : clock_(clock) {}
  void Add(Sources sources) override {
    machines_.emplace(sources.data(),
                      *AsioSources::Create(io_, clock_, sources));
  }
  void Remove(Sources sources) override { machines_.erase(sources.data()); }
  void RunOnce() override { io_.run_one(); }

 private:
  const Clock& clock_;
  asio::io_context io_;
  // run_one waits even when nothing is asked for.
  asio::executor_work_guard<asio::io_context::executor_type> work_{
      io_.get_executor()};
  std::map<const void*, AsioSources> machines_;
};

class GlibTestLoop final : public TestLoop {
 public:
  explicit GlibTestLoop(const Clock& clock)
      : clock_(clock), context_(g_main_context_new()) {}
  ~GlibTestLoop() override {
    machines_.clear();
    g_main_context_unref(context_);
  }
  void Add(Sources sources) override {
    machines_.try_emplace(sources.data(), context_, clock_, sources);
  }
  void Remove(Sources sources) override { machines_.erase(sources.data()); }
  void RunOnce() override { g_main_context_iteration(context_, TRUE); }

 private:
  const Clock& clock_;
  GMainContext* context_;
  std::map<const void*, GlibSources> machines_;
};

class InlineTestLoop final : public TestLoop {
 public:
  explicit InlineTestLoop(const Clock& clock) : clock_(clock) {}
  void Add(Sources sources) override {
    sources_.insert(sources_.end(), sources.begin(), sources.end());
  }
  void Remove(Sources sources) override {
    std::erase_if(sources_, [sources](EventSource* source) {
      return std::ranges::find(sources, source) != sources.end();
    });
  }
  void RunOnce() override {
    LIBVMM_CHECK(ServeSources(sources_, clock_, absl::InfiniteDuration()).ok());
  }

 private:
  const Clock& clock_;
  std::vector<EventSource*> sources_;
};

}  // namespace

const char* LoopName(LoopKind kind) {
  switch (kind) {
    case LoopKind::kEpoll:
      return "Epoll";
    case LoopKind::kLibuv:
      return "Libuv";
    case LoopKind::kAsio:
      return "Asio";
    case LoopKind::kGlib:
      return "Glib";
    case LoopKind::kInline:
      return "Inline";
  }
  return "";
}

std::unique_ptr<TestLoop> TestLoop::Create(LoopKind kind, const Clock& clock) {
  switch (kind) {
    case LoopKind::kEpoll:
      return std::make_unique<EpollTestLoop>(clock);
    case LoopKind::kLibuv:
      return std::make_unique<LibuvTestLoop>(clock);
    case LoopKind::kAsio:
      return std::make_unique<AsioTestLoop>(clock);
    case LoopKind::kGlib:
      return std::make_unique<GlibTestLoop>(clock);
    case LoopKind::kInline:
      return std::make_unique<InlineTestLoop>(clock);
  }
  return nullptr;
}

}  // namespace loops
