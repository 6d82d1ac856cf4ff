// SPDX-License-Identifier: Apache-2.0
// A guest's requests through the device's queues, to files of the host.
#include "libvmm/devices/virtio/fs/virtio_fs.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/devices/virtio/device/virtio_device.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/devices/virtio/fs/fuse_protocol.h"
#include "libvmm/devices/virtio/fs/fuse_test_client.h"
#include "libvmm/devices/virtio/fs/host_directory.h"
#include "libvmm/devices/virtio/fs/share_test_directory.h"
#include "libvmm/devices/virtio/fs/virtio_fs_registers.h"
#include "libvmm/testing/heap_count.h"
#include "libvmm/testing/repetitions.h"
#include "libvmm/testing/ring_mutator.h"
#include "libvmm/testing/sanitizers.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtio_test_link.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm {
namespace {

using ::libvmm::fuse::kRootNode;
using ::libvmm::fuse::Opcode;
using ::libvmm::testing::Bytes;
using ::libvmm::testing::FuseTestClient;
using ::libvmm::testing::Joined;
using ::libvmm::testing::kHeapCallsCounted;
using ::libvmm::testing::kThreadSanitized;
using ::libvmm::testing::Name;
using ::libvmm::testing::Repetitions;
using ::libvmm::testing::RingMutator;
using ::libvmm::testing::ShareTestDirectory;
using ::libvmm::testing::StatusIs;
using ::libvmm::testing::ThreadHeapCalls;
using ::libvmm::testing::VirtioTestLink;
using ::libvmm::testing::VirtqueueDriver;
using ::libvmm::virtio::fs::kHighPriorityQueue;
using ::libvmm::virtio::fs::kTagSize;
using ::testing::HasSubstr;

using Reply = FuseTestClient::Reply;

constexpr uint16_t kQueue = virtio::fs::kFirstRequestQueue;
constexpr uint32_t kPage = 4096;

// A guest that mounted a share: messages go through queue `queue` of a link.
struct Mount {
  explicit Mount(VirtioTestLink& guest, uint16_t queue = kQueue)
      : client([&guest, queue](const Bytes& message, uint32_t room) {
          std::optional<Bytes> bytes;
          auto reply = guest.Request(queue, message, room);
          if (reply.has_value()) {
            reply->bytes.resize(reply->written);
            bytes = std::move(reply->bytes);
          }
          return bytes;
        }) {}
  FuseTestClient client;
};

class VirtioFsTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override { outside_ = share.OutsideState(); }
  void TearDown() override { EXPECT_EQ(share.OutsideState(), outside_); }

  void Make(HostDirectory::Options options = {}, uint16_t request_queues = 1) {
    options.path = share.Path();
    tree = *HostDirectory::Create(options);
    device = *VirtioFs::Create(
        {.tag = "share", .request_queues = request_queues}, *tree);
    link = std::make_unique<VirtioTestLink>(
        *device,
        VirtioTestLink::Options{
            .packed = GetParam(), .event_index = true, .in_order = true});
    ASSERT_TRUE(link->Activate());
    mount = std::make_unique<Mount>(*link);
  }
  FuseTestClient& client() { return mount->client; }
  void Start() { ASSERT_EQ(client().Init().error, 0); }

  ShareTestDirectory share;
  std::unique_ptr<HostDirectory> tree;
  std::unique_ptr<VirtioFs> device;
  std::unique_ptr<VirtioTestLink> link;
  std::unique_ptr<Mount> mount;

 private:
  std::string outside_;
};

INSTANTIATE_TEST_SUITE_P(Layouts, VirtioFsTest, ::testing::Bool(),
                         [](const auto& row) {
                           return row.param ? "Packed" : "Split";
                         });

TEST(VirtioFsOptionsTest, OptionsAreValidated) {
  ShareTestDirectory share;
  const auto tree = *HostDirectory::Create({.path = share.Path()});
  const struct {
    VirtioFs::Options options;
    const char* words;
  } kTable[] = {
      {{}, "tag has 0 bytes"},
      {{.tag = std::string(37, 'x')}, "tag has 37 bytes"},
      {{.tag = std::string("a\0b", 3)}, "NUL"},
      {{.tag = "t", .request_queues = 0}, "request_queues is 0"},
      {{.tag = "t", .request_queues = 65}, "request_queues is 65"},
      {{.tag = "t", .queue_size = 0}, "queue_size is 0"},
      {{.tag = "t", .queue_size = 1}, "queue_size is 1"},
      {{.tag = "t", .queue_size = 24}, "queue_size is 24"},
      {{.tag = "t", .queue_size = 32769}, "queue_size is 32769"},
      {{.tag = "t", .cache_for = -absl::Seconds(1)}, "cache_for is -1s"},
  };
  for (const auto& row : kTable) {
    EXPECT_THAT(
        VirtioFs::Create(row.options, *tree).status(),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(row.words)));
  }
}

TEST(VirtioFsOptionsTest, TraitsFollowTheOptions) {
  ShareTestDirectory share;
  const auto tree = *HostDirectory::Create({.path = share.Path()});
  ASSERT_OK_AND_ASSIGN(
      const std::unique_ptr<VirtioFs> device,
      VirtioFs::Create({.tag = "t", .request_queues = 3, .queue_size = 64},
                       *tree));
  const VirtioDevice::Traits& traits = device->traits();
  EXPECT_EQ(traits.id, VirtioDeviceId::kFileSystem);
  EXPECT_EQ(traits.features, virtio::kInOrder);
  EXPECT_EQ(traits.config_size, 40u);
  EXPECT_EQ(traits.lanes, 4u);
  ASSERT_EQ(traits.queues.size(), 4u);
  for (uint16_t i = 0; i < 4; ++i) {
    EXPECT_EQ(traits.queues[i].max_size, 64u);
    EXPECT_EQ(traits.queues[i].lane, i);
  }
}

TEST(VirtioFsOptionsTest, ConfigurationHasTagAndQueues) {
  ShareTestDirectory share;
  const auto tree = *HostDirectory::Create({.path = share.Path()});
  for (const std::string& tag : {std::string("share"), std::string(36, 't')}) {
    const auto device =
        *VirtioFs::Create({.tag = tag, .request_queues = 3}, *tree);
    std::string expected = tag;
    expected.resize(kTagSize);
    expected += std::string("\3\0\0\0", 4);
    std::string config(40, '?');
    device->WriteConfig(0, std::as_bytes(std::span(config)));
    device->ReadConfig(0, std::as_writable_bytes(std::span(config)));
    EXPECT_EQ(config, expected);
    // In any pieces.
    for (uint32_t offset = 0; offset < 40; ++offset) {
      for (uint32_t size = 0; size <= 40 - offset; ++size) {
        std::string piece(size, '?');
        device->ReadConfig(offset, std::as_writable_bytes(std::span(piece)));
        EXPECT_EQ(piece, expected.substr(offset, size));
      }
    }
  }
}

// ---- Work -------------------------------------------------------------------

TEST_P(VirtioFsTest, DataIsEqualOnBothSides) {
  std::string text;
  std::mt19937 random(5);
  for (int i = 0; i < 1 << 20; ++i) text += static_cast<char>(random());
  share.WriteFile("from_host", text);
  Make();
  Start();
  const uint64_t from = client().Lookup("from_host");
  const uint64_t reading = client().Open(from, O_RDONLY);
  const Reply created =
      client().Call(Opcode::kCreate, kRootNode,
                    Joined(fuse::CreateIn{.flags = O_RDWR, .mode = 0640},
                           Name("from_guest")));
  ASSERT_EQ(created.error, 0);
  const uint64_t writing =
      created.As<fuse::OpenOut>(sizeof(fuse::EntryOut)).handle;
  for (uint64_t at = 0; at < text.size();) {
    const auto size = static_cast<uint32_t>(random() % 100000 + 1);
    const std::string piece = client().Read(reading, at, size).Text();
    ASSERT_EQ(piece, text.substr(at, size));
    EXPECT_EQ(client().Write(writing, at, piece).As<fuse::WriteOut>().size,
              piece.size());
    at += piece.size();
  }
  EXPECT_EQ(share.ReadFile("from_guest"), text);
  EXPECT_EQ(client()
                .Call(Opcode::kSync, 0, Joined(fuse::SyncIn{.handle = writing}))
                .error,
            0);
}

TEST_P(VirtioFsTest, ADayInTheLifeOfADirectory) {
  Make();
  Start();
  auto& guest = client();
  const Reply made =
      guest.Call(Opcode::kMakeDirectory, kRootNode,
                 Joined(fuse::MakeDirectoryIn{.mode = 0755}, Name("d")));
  ASSERT_EQ(made.error, 0);
  const uint64_t d = made.As<fuse::EntryOut>().node;
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(guest
                  .Call(Opcode::kMakeNode, d,
                        Joined(fuse::MakeNodeIn{.mode = 0100600},
                               Name(absl::StrCat("f", i))))
                  .error,
              0);
  }
  EXPECT_EQ(guest
                .Call(Opcode::kSymlink, d,
                      Joined(Name("l"), Name(share.Outside("secret"))))
                .error,
            0);
  EXPECT_EQ(guest.Call(Opcode::kReadLink, guest.Lookup("l", d)).Text(),
            share.Outside("secret"));
  const uint64_t listing =
      guest.Call(Opcode::kOpenDirectory, d, Joined(fuse::OpenIn{}))
          .As<fuse::OpenOut>()
          .handle;
  const Reply names =
      guest.Call(Opcode::kReadDirectoryPlus, d,
                 Joined(fuse::ReadIn{.handle = listing, .size = 16384}), 16400);
  EXPECT_EQ(names.error, 0);
  EXPECT_THAT(names.Text(), HasSubstr("f19"));
  EXPECT_EQ(guest
                .Call(Opcode::kRename2, d,
                      Joined(fuse::Rename2In{.new_parent = kRootNode},
                             Name("f0"), Name("g")))
                .error,
            0);
  EXPECT_TRUE(share.Exists("g"));
  EXPECT_EQ(
      guest.Call(Opcode::kRemoveDirectory, kRootNode, Joined(Name("d"))).error,
      ENOTEMPTY);
  EXPECT_EQ(guest.Call(Opcode::kUnlink, kRootNode, Joined(Name("g"))).error, 0);
  EXPECT_FALSE(share.Exists("g"));
  EXPECT_EQ(guest
                .Call(Opcode::kReleaseDirectory, d,
                      Joined(fuse::ReleaseIn{.handle = listing}))
                .error,
            0);
}

TEST_P(VirtioFsTest, ForgettingTravelsOnTheHighPriorityQueue) {
  share.WriteFile("f", "text");
  Make();
  Start();
  const uint64_t f = client().Lookup("f");
  EXPECT_EQ(tree->usage().nodes, 2u);
  const auto reply =
      link->Request(kHighPriorityQueue,
                    client().Message(Opcode::kForget, f,
                                     Joined(fuse::ForgetIn{.lookups = 1})),
                    0);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->written, 0u);
  EXPECT_EQ(tree->usage().nodes, 1u);
  EXPECT_FALSE(link->failed());
}

TEST_P(VirtioFsTest, EachRequestQueueServes) {
  share.WriteFile("f", "text");
  Make({}, 3);
  Start();
  for (uint16_t queue = 0; queue < 4; ++queue) {
    Mount other(*link, queue);
    EXPECT_EQ(other.client.Call(Opcode::kStatFileSystem, kRootNode).error, 0);
  }
}

TEST_P(VirtioFsTest, AReadOnlyShareIsOneToTheGuest) {
  share.WriteFile("f", "text");
  Make({.read_only = true});
  Start();
  const uint64_t f = client().Lookup("f");
  const struct {
    Opcode opcode;
    uint64_t node;
    Bytes body;
  } kTable[] = {
      {Opcode::kOpen, f, Joined(fuse::OpenIn{.flags = O_RDWR})},
      {Opcode::kCreate, kRootNode,
       Joined(fuse::CreateIn{.flags = O_RDWR}, Name("n"))},
      {Opcode::kMakeNode, kRootNode,
       Joined(fuse::MakeNodeIn{.mode = 0100600}, Name("n"))},
      {Opcode::kMakeDirectory, kRootNode,
       Joined(fuse::MakeDirectoryIn{}, Name("n"))},
      {Opcode::kSymlink, kRootNode, Joined(Name("n"), Name("t"))},
      {Opcode::kLink, kRootNode,
       Joined(fuse::LinkIn{.old_node = f}, Name("n"))},
      {Opcode::kUnlink, kRootNode, Joined(Name("f"))},
      {Opcode::kRemoveDirectory, kRootNode, Joined(Name("f"))},
      {Opcode::kRename, kRootNode,
       Joined(fuse::RenameIn{.new_parent = kRootNode}, Name("f"), Name("n"))},
      {Opcode::kRename2, kRootNode,
       Joined(fuse::Rename2In{.new_parent = kRootNode}, Name("f"), Name("n"))},
      {Opcode::kSetAttributes, f,
       Joined(fuse::SetAttributesIn{.valid = fuse::kSetMode})},
      {Opcode::kAccess, f, Joined(fuse::AccessIn{.mask = 2})},
  };
  for (const auto& row : kTable) {
    EXPECT_EQ(client().Call(row.opcode, row.node, row.body).error, EROFS)
        << static_cast<int>(row.opcode);
  }
  const uint64_t handle = client().Open(f, O_RDONLY);
  EXPECT_EQ(client().Write(handle, 0, "x").error, EBADF);
  EXPECT_EQ(client().Read(handle, 0, 100).Text(), "text");
  EXPECT_EQ(share.ReadFile("f"), "text");
}

TEST_P(VirtioFsTest, EscapesAreRefused) {
  Make();
  Start();
  for (const char* const name :
       {"..", ".", "", "/", "../secret", "../vault/gold", "/etc/passwd"}) {
    EXPECT_EQ(
        client().Call(Opcode::kLookup, kRootNode, Joined(Name(name))).error,
        EINVAL);
  }
  share.MakeLink("l", "../vault");
  const uint64_t l = client().Lookup("l");
  EXPECT_EQ(client().Call(Opcode::kLookup, l, Joined(Name("gold"))).error,
            ENOTDIR);
  EXPECT_EQ(
      client().Call(Opcode::kOpenDirectory, l, Joined(fuse::OpenIn{})).error,
      ENOTDIR);
}

// ---- Drivers that break the rules -------------------------------------------

TEST_P(VirtioFsTest, AMessageWithoutAHeaderNeedsAReset) {
  Make();
  Start();
  EXPECT_FALSE(link->Request(kQueue, Bytes(39), 4096).has_value());
  EXPECT_TRUE(link->failed());
}

TEST_P(VirtioFsTest, ARequestWithoutRoomForAReplyNeedsAReset) {
  Make();
  Start();
  link->Request(kQueue, client().Message(Opcode::kStatFileSystem, 1, {}), 15);
  EXPECT_TRUE(link->failed());
}

TEST_P(VirtioFsTest, AMessageOfTheDevicesOwnBuffersNeedsAReset) {
  Make();
  link->Request(kQueue, {}, 4096);
  EXPECT_TRUE(link->failed());
}

TEST_P(VirtioFsTest, AQueueThatIsNotEnabledIsNotServed) {
  Make();
  VirtioTestLink::Options options{.packed = GetParam()};
  options.disabled = {kHighPriorityQueue};
  link = std::make_unique<VirtioTestLink>(*device, options);
  ASSERT_TRUE(link->Activate());
  device->Serve(kHighPriorityQueue);
  mount = std::make_unique<Mount>(*link);
  Start();
}

// ---- Sessions ---------------------------------------------------------------

TEST_P(VirtioFsTest, AResetForgetsAllThatTheGuestHad) {
  share.WriteFile("f", "text");
  Make();
  for (int i = 0; i < 10; ++i) {
    Start();
    const uint64_t f = client().Lookup("f");
    const uint64_t handle = client().Open(f, O_RDWR);
    EXPECT_EQ(client().Read(handle, 0, 10).Text(), "text");
    EXPECT_EQ(tree->usage().handles, 1u);
    link->Reset();
    EXPECT_EQ(tree->usage().handles, 0u);
    EXPECT_EQ(tree->usage().nodes, 1u);
    EXPECT_EQ(tree->usage().open_nodes, 1u);
    ASSERT_TRUE(link->Activate());
    // Old numbers are nobody's now, and there is no session.
    EXPECT_EQ(client().Call(Opcode::kStatFileSystem, 1).error, EIO);
    Start();
    EXPECT_EQ(client().Read(handle, 0, 10).error, EBADF);
    EXPECT_EQ(
        client()
            .Call(Opcode::kGetAttributes, f, Joined(fuse::GetAttributesIn{}))
            .error,
        ESTALE);
  }
}

TEST_P(VirtioFsTest, ManyRequestsInOneBatchAreAllAnswered) {
  share.WriteFile("f", "text");
  Make();
  Start();
  const uint64_t handle = client().Open(client().Lookup("f"), O_RDONLY);
  const Bytes message = client().Message(
      Opcode::kRead, 0, Joined(fuse::ReadIn{.handle = handle, .size = 10}));
  VirtqueueDriver& driver = link->driver(kQueue);
  const Gpa request = link->Put(message);
  std::vector<Gpa> replies;
  // As many as the ring has places; nobody notified in between.
  for (int i = 0; i < 64; ++i) {
    const Gpa reply = link->Allocate(64);
    if (!driver
             .Add({{.gpa = request,
                    .size = static_cast<uint32_t>(message.size())},
                   {.gpa = reply, .size = 64, .writable = true}},
                  VirtqueueDriver::Layout::kIndirect)
             .has_value()) {
      break;
    }
    replies.push_back(reply);
  }
  EXPECT_EQ(replies.size(), 64u);
  link->Kick(kQueue);
  for (const Gpa reply : replies) {
    const std::optional<VirtqueueDriver::Used> used = driver.Collect();
    ASSERT_TRUE(used.has_value());
    EXPECT_EQ(used->written, 20u);
    const std::vector<std::byte> bytes = link->Bytes(reply + 16, 4);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), 4),
              "text");
  }
}

TEST_P(VirtioFsTest, ReadingAndWritingDoNotTouchTheHeap) {
  if (!kHeapCallsCounted) GTEST_SKIP() << "a sanitizer has its own heap";
  share.WriteFile("f", std::string(kPage, 'x'));
  Make();
  Start();
  const uint64_t f = client().Lookup("f");
  const uint64_t handle = client().Open(f, O_RDWR);
  const Gpa room = link->Allocate(2 * kPage);
  const auto count = [&](const Bytes& message) {
    const Gpa request = link->Put(message);
    VirtqueueDriver& driver = link->driver(kQueue);
    EXPECT_TRUE(driver
                    .Add({{.gpa = request,
                           .size = static_cast<uint32_t>(message.size())},
                          {.gpa = room, .size = 2 * kPage, .writable = true}})
                    .has_value());
    driver.Publish();
    const uint64_t before = ThreadHeapCalls();
    device->Serve(kQueue);
    const uint64_t calls = ThreadHeapCalls() - before;
    EXPECT_TRUE(driver.Collect().has_value());
    return calls;
  };
  EXPECT_EQ(count(client().Message(
                Opcode::kRead, f,
                Joined(fuse::ReadIn{.handle = handle, .size = kPage}))),
            0u);
  EXPECT_EQ(
      count(client().Message(Opcode::kWrite, f,
                             Joined(fuse::WriteIn{.handle = handle, .size = 4},
                                    std::string("new ")))),
      0u);
  EXPECT_EQ(count(client().Message(Opcode::kGetAttributes, f,
                                   Joined(fuse::GetAttributesIn{}))),
            0u);
  // A name that is known already.
  EXPECT_EQ(
      count(client().Message(Opcode::kLookup, kRootNode, Joined(Name("f")))),
      0u);
  EXPECT_EQ(share.ReadFile("f").substr(0, 5), "new x");
}

// ---- Threads ----------------------------------------------------------------

TEST_P(VirtioFsTest, QueuesOnThreadsOfTheirOwnAndARegisterSide) {
  for (int i = 0; i < 4; ++i) {
    share.WriteFile(absl::StrCat("f", i), std::string(100, 'a' + i));
  }
  Make({}, 2);
  Start();
  std::atomic<bool> stop = false;
  std::thread registers([&] {
    std::string config(40, '?');
    while (!stop.load()) {
      device->ReadConfig(0, std::as_writable_bytes(std::span(config)));
      EXPECT_EQ(config[0], 's');
    }
  });
  // Requests of each queue lie ready; then all lanes are served at once.
  for (int round = 0; round < Repetitions(200); ++round) {
    link->FreeAll();
    for (const uint16_t queue : {uint16_t{1}, uint16_t{2}}) {
      for (int i = 0; i < 4; ++i) {
        const Bytes message = client().Message(
            Opcode::kLookup, kRootNode, Joined(Name(absl::StrCat("f", i))));
        const Gpa request = link->Put(message);
        const Gpa reply = link->Allocate(256);
        ASSERT_TRUE(link->driver(queue)
                        .Add({{.gpa = request,
                               .size = static_cast<uint32_t>(message.size())},
                              {.gpa = reply, .size = 256, .writable = true}})
                        .has_value());
      }
      link->driver(queue).Publish();
    }
    const Bytes forget =
        client().Message(Opcode::kForget, tree->usage().nodes > 1 ? 2 : 99,
                         Joined(fuse::ForgetIn{.lookups = 1}));
    const Gpa request = link->Put(forget);
    ASSERT_TRUE(link->driver(0)
                    .Add({{.gpa = request,
                           .size = static_cast<uint32_t>(forget.size())}})
                    .has_value());
    link->driver(0).Publish();
    std::vector<std::thread> lanes;
    for (const uint16_t lane : {uint16_t{0}, uint16_t{1}, uint16_t{2}}) {
      lanes.emplace_back([&, lane] { device->Serve(lane); });
    }
    for (std::thread& lane : lanes) lane.join();
    for (const uint16_t queue : {uint16_t{1}, uint16_t{2}}) {
      for (int i = 0; i < 4; ++i) {
        const auto used = link->driver(queue).Collect();
        ASSERT_TRUE(used.has_value());
        EXPECT_EQ(used->written, 144u);
      }
    }
    ASSERT_TRUE(link->driver(0).Collect().has_value());
  }
  stop = true;
  registers.join();
  EXPECT_FALSE(link->failed());
}

// Files of this process stay small while it lives: a hostile guest may ask for
// any size.
class SmallFiles {
 public:
  SmallFiles() : handler_(::signal(SIGXFSZ, SIG_IGN)) {
    EXPECT_EQ(::getrlimit(RLIMIT_FSIZE, &before_), 0);
    const rlimit small = {.rlim_cur = 1 << 20, .rlim_max = before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  }
  SmallFiles(const SmallFiles&) = delete;
  SmallFiles& operator=(const SmallFiles&) = delete;
  ~SmallFiles() {
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &before_), 0);
    ::signal(SIGXFSZ, handler_);
  }

 private:
  sighandler_t handler_;
  rlimit before_;
};

// The rings and the messages change while they are read. Beside the share
// nothing changes, which TearDown looks at; nothing is kept; the device works
// for the next driver.
TEST_P(VirtioFsTest, AHostileDriverOnAThreadOfItsOwn) {
  const SmallFiles small_files;
  share.MakeDirectory("d");
  share.MakeLink("l", "../vault");
  // ThreadSanitizer takes what the kernel does to guest memory for this
  // program's: there no file can be read or written.
  if (!kThreadSanitized) share.WriteFile("f", "some text");
  Make({.read_only = kThreadSanitized,
        .max_nodes = 16,
        .max_open_nodes = 72,
        .max_handles = 8},
       2);
  for (int seed = 0; seed < Repetitions(60); ++seed) {
    link = std::make_unique<VirtioTestLink>(
        *device, VirtioTestLink::Options{.packed = GetParam(),
                                         .indirect = seed % 2 == 0,
                                         .event_index = seed % 4 < 2});
    ASSERT_TRUE(link->Activate());
    mount = std::make_unique<Mount>(*link);
    Start();
    const auto message = [this](Opcode opcode, uint64_t node,
                                const Bytes& body) {
      return client().Message(opcode, node, body);
    };
    const std::vector<Bytes> messages = {
        message(Opcode::kLookup, 1, Joined(Name("d"))),
        message(Opcode::kLookup, 1, Joined(Name("f"))),
        message(Opcode::kLookup, 1, Joined(Name("l"))),
        message(Opcode::kOpen, 3, Joined(fuse::OpenIn{.flags = O_RDWR})),
        message(Opcode::kOpenDirectory, 1, Joined(fuse::OpenIn{})),
        message(Opcode::kReadDirectoryPlus, 1,
                Joined(fuse::ReadIn{.handle = 1, .size = 400})),
        message(Opcode::kRead, 3,
                Joined(fuse::ReadIn{.handle = 1, .size = 90})),
        message(
            Opcode::kWrite, 3,
            Joined(fuse::WriteIn{.handle = 1, .size = 4}, std::string("text"))),
        message(
            Opcode::kCreate, 1,
            Joined(fuse::CreateIn{.flags = O_RDWR, .mode = 0600}, Name("n"))),
        message(Opcode::kUnlink, 1, Joined(Name("n"))),
        message(Opcode::kReadLink, 4, {}),
        message(Opcode::kBatchForget, 0,
                Joined(fuse::BatchForgetIn{.count = 1},
                       fuse::ForgetOne{.node = 2, .lookups = 1})),
        message(Opcode::kGetAttributes, 2, Joined(fuse::GetAttributesIn{})),
    };
    std::vector<VirtqueueDriver::Buffer> requests;
    const Gpa start = link->Allocate(8, 8);
    for (const Bytes& one : messages) {
      requests.push_back(
          {.gpa = link->Put(one), .size = static_cast<uint32_t>(one.size())});
    }
    const Gpa end = link->Allocate(8, 8);
    const Gpa room = link->Allocate(1024);
    // Both queues' rings are full of messages; then the writer comes.
    for (const uint16_t queue : {uint16_t{1}, uint16_t{2}}) {
      for (size_t i = 0; i < 32; ++i) {
        link->driver(queue).Add({requests[i % requests.size()],
                                 {.gpa = room, .size = 500, .writable = true}});
      }
      link->driver(queue).Publish();
    }
    std::atomic<bool> stop = false;
    std::thread registers([&] {
      std::array<std::byte, 40> config;
      while (!stop.load()) device->ReadConfig(0, config);
    });
    {
      RingMutator mutator(link->memory(),
                          {link->driver(1).area(),
                           link->driver(2).area(),
                           {start, end - start}},
                          static_cast<uint64_t>(seed));
      std::thread other([&] {
        for (int i = 0; i < 20; ++i) device->Serve(2);
      });
      for (int i = 0; i < 20; ++i) {
        link->driver(1).Add({requests[static_cast<size_t>(i) % requests.size()],
                             {.gpa = room, .size = 500, .writable = true}});
        link->driver(1).Publish();
        device->Serve(1);
        (void)link->driver(1).Collect();
      }
      other.join();
    }
    stop = true;
    registers.join();
    const HostDirectory::Usage usage = tree->usage();
    EXPECT_LE(usage.nodes, 16u);
    EXPECT_LE(usage.open_nodes, 72u);
    EXPECT_LE(usage.handles, 8u);
    link->Reset();
    EXPECT_EQ(tree->usage().nodes, 1u);
    EXPECT_EQ(tree->usage().open_nodes, 1u);
    EXPECT_EQ(tree->usage().handles, 0u);
  }
}

}  // namespace
}  // namespace libvmm
