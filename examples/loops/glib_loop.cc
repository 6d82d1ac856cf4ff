// SPDX-License-Identifier: Apache-2.0
#include "examples/loops/glib_loop.h"

#include <poll.h>

#include <algorithm>

namespace loops {

using namespace libvmm;

namespace {

static_assert(static_cast<int>(G_IO_IN) == POLLIN);
static_assert(static_cast<int>(G_IO_OUT) == POLLOUT);
static_assert(static_cast<int>(G_IO_ERR) == POLLERR);
static_assert(static_cast<int>(G_IO_HUP) == POLLHUP);

// A GSource as GLib has classes in C: its struct begins with the base's. Memory
// comes from g_source_new, all zero.
struct Watch {
  GSource base;
  EventSource* source;
  const Clock* clock;
  // GLib's handle of the descriptor; null while it is not watched.
  gpointer tag;
};

void AskAnew(Watch& watch) {
  const auto events = static_cast<GIOCondition>(watch.source->events());
  if (events != 0 && watch.tag != nullptr) {
    g_source_modify_unix_fd(&watch.base, watch.tag, events);
  } else if (events != 0) {
    watch.tag = g_source_add_unix_fd(&watch.base, watch.source->fd(), events);
  } else if (watch.tag != nullptr) {
    // Left in, a peer that hung up would be reported for ever.
    g_source_remove_unix_fd(&watch.base, watch.tag);
    watch.tag = nullptr;
  }
  const absl::Duration left =
      watch.source->NextDeadline() - watch.clock->Monotonic();
  if (left == absl::InfiniteDuration()) {
    g_source_set_ready_time(&watch.base, -1);
    return;
  }
  // Up to the next microsecond, so as not to come just before it; and asked
  // again after an hour at the latest.
  g_source_set_ready_time(
      &watch.base,
      g_get_monotonic_time() +
          absl::ToInt64Microseconds(
              absl::Ceil(std::clamp(left, absl::ZeroDuration(), absl::Hours(1)),
                         absl::Microseconds(1))));
}

gboolean Dispatch(GSource* base, GSourceFunc, gpointer) {
  Watch& watch = *reinterpret_cast<Watch*>(base);
  const int revents =
      watch.tag == nullptr ? 0 : g_source_query_unix_fd(base, watch.tag);
  if (revents != 0) watch.source->OnReady(static_cast<short>(revents));
  if (watch.source->NextDeadline() <= watch.clock->Monotonic()) {
    watch.source->OnDeadline();
  }
  AskAnew(watch);
  return G_SOURCE_CONTINUE;
}

// Without prepare and check GLib goes by descriptor and ready time. It takes a
// pointer to what is not const, and does not write there.
GSourceFuncs functions = {nullptr, nullptr, Dispatch,
                          nullptr, nullptr, nullptr};

}  // namespace

GlibSources::GlibSources(GMainContext* context, const Clock& clock,
                         std::span<EventSource* const> sources) {
  for (EventSource* source : sources) {
    GSource* const base = g_source_new(&functions, sizeof(Watch));
    Watch& watch = *reinterpret_cast<Watch*>(base);
    watch.source = source;
    watch.clock = &clock;
    AskAnew(watch);
    g_source_attach(base, context);
    watches_.push_back(base);
  }
}

GlibSources::~GlibSources() {
  for (GSource* base : watches_) {
    g_source_destroy(base);
    g_source_unref(base);
  }
}

}  // namespace loops
