// SPDX-License-Identifier: Apache-2.0
// Every system call of a HostDirectory failing, one at a time: the guest gets
// the errno, and no node, handle or descriptor stays behind.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/virtio/fs/file_tree.h"
#include "libvmm/devices/virtio/fs/fuse_protocol.h"
#include "libvmm/devices/virtio/fs/host_directory.h"
#include "libvmm/devices/virtio/fs/share_test_directory.h"
#include "libvmm/memory/file_transfer.h"
#include "libvmm/testing/fault_check.h"

namespace libvmm::testing {
namespace {

using ::libvmm::fuse::kRootNode;

constexpr char kText[] = "some text";

// A guest is told an errno, not of a call; so the Status made of it here names
// all that there are.
constexpr char kCalls[] =
    "openat2 openat statx fchmodat ftruncate utimensat readlinkat faccessat "
    "symlinkat mknodat mkdirat linkat unlinkat renameat2 preadv pwritev fsync "
    "fdatasync fallocate lseek copy_file_range getdents64 fstatfs syncfs";

// What an operation works with: a file "f", a directory "d" and a link "l".
struct Guest {
  HostDirectory& tree;
  FileTree::Node file = 0;
  FileTree::Node link = 0;
  FileTree::Node directory = 0;
  FileTree::Handle handle = 0;
  FileTree::Handle directory_handle = 0;
  // Where results go that the operation need not look at.
  FileTree::Entry entry = {};
  fuse::Attributes attributes = {};
};

FileTree::Node Find(HostDirectory& tree, const char* name) {
  FileTree::Entry entry = {};
  EXPECT_EQ(tree.Lookup({kRootNode, name}, entry), 0);
  return entry.node;
}

// Runs `operation` with everything set up and no fault outside of it. It gives
// back what it opened and looked up when it succeeds.
void CheckOperation(FaultScenario scenario,
                    absl::FunctionRef<int(Guest&)> operation) {
  scenario.MaySurvive("openat", {EINTR}, "again")
      .MaySurvive("preadv", {EINTR}, "again")
      .MaySurvive("pwritev", {EINTR}, "again")
      .MaySurvive("fsync", {EINTR}, "again")
      .MaySurvive("fdatasync", {EINTR}, "again")
      .MaySurvive("fallocate", {EINTR}, "again")
      .MaySurvive("ftruncate", {EINTR}, "again")
      .MaySurvive("copy_file_range", {EINTR}, "again")
      .MaySurvive("fstatfs", {EINTR}, "again");
  Check(std::move(scenario), [&]() -> absl::Status {
    std::unique_ptr<ShareTestDirectory> share;
    std::unique_ptr<HostDirectory> tree;
    std::optional<Guest> guest;
    WithoutFaults([&] {
      share = std::make_unique<ShareTestDirectory>();
      share->WriteFile("f", kText);
      share->WriteFile("g", kText);
      share->MakeLink("l", "f");
      share->MakeDirectory("d");
      tree = *HostDirectory::Create({.path = share->Path()});
      guest.emplace(Guest{.tree = *tree,
                          .file = Find(*tree, "f"),
                          .link = Find(*tree, "l"),
                          .directory = Find(*tree, "d")});
      EXPECT_EQ(tree->Open(guest->file, O_RDWR, guest->handle), 0);
      EXPECT_EQ(tree->OpenDirectory(kRootNode, guest->directory_handle), 0);
      return 0;
    });
    const HostDirectory::Usage before = tree->usage();
    const int error = operation(*guest);
    const HostDirectory::Usage after = tree->usage();
    WithoutFaults([&] {
      tree.reset();
      share.reset();
      return 0;
    });
    if (after.nodes != before.nodes || after.handles != before.handles) {
      return absl::InternalError("a node or handle stayed behind");
    }
    return error == 0 ? absl::OkStatus() : ErrnoStatus(error, kCalls);
  });
}

TEST(HostDirectoryFaultsTest, Create) {
  ShareTestDirectory share;
  Check(FaultScenario("HostDirectory::Create")
            .GivesCode("open", {ENOENT}, absl::StatusCode::kFailedPrecondition,
                       "there is no /proc"),
        [&share] {
          return HostDirectory::Create({.path = share.Path()}).status();
        });
}

TEST(HostDirectoryFaultsTest, Nodes) {
  CheckOperation(FaultScenario("HostDirectory, look up"), [](Guest& guest) {
    const int error = guest.tree.Lookup({kRootNode, "g"}, guest.entry);
    if (error == 0) guest.tree.Forget(guest.entry.node, 1);
    return error;
  });
  CheckOperation(FaultScenario("HostDirectory, attributes"), [](Guest& guest) {
    return guest.tree.GetAttributes(guest.file, std::nullopt, guest.attributes);
  });
  CheckOperation(FaultScenario("HostDirectory, set attributes"),
                 [](Guest& guest) {
                   return guest.tree.SetAttributes(
                       guest.file,
                       {.mode = 0600,
                        .size = 3,
                        .modify_time = FileTree::NewTime{.seconds = 1}},
                       guest.attributes);
                 });
  CheckOperation(FaultScenario("HostDirectory, link's text"), [](Guest& guest) {
    std::array<char, 4095> text;
    size_t size = 0;
    return guest.tree.ReadLink(guest.link, text, size);
  });
  CheckOperation(FaultScenario("HostDirectory, access"),
                 [](Guest& guest) { return guest.tree.Access(guest.file, 4); });
}

TEST(HostDirectoryFaultsTest, Names) {
  CheckOperation(FaultScenario("HostDirectory, symlink"), [](Guest& guest) {
    const int error =
        guest.tree.Symlink({kRootNode, "n"}, "to", {}, guest.entry);
    if (error == 0) guest.tree.Forget(guest.entry.node, 1);
    return error;
  });
  CheckOperation(FaultScenario("HostDirectory, mknod"), [](Guest& guest) {
    const int error = guest.tree.MakeNode(
        {kRootNode, "n"}, {.mode = S_IFIFO | 0777}, guest.entry);
    if (error == 0) guest.tree.Forget(guest.entry.node, 1);
    return error;
  });
  CheckOperation(FaultScenario("HostDirectory, mkdir"), [](Guest& guest) {
    const int error =
        guest.tree.MakeDirectory({kRootNode, "n"}, {.mode = 0777}, guest.entry);
    if (error == 0) guest.tree.Forget(guest.entry.node, 1);
    return error;
  });
  CheckOperation(FaultScenario("HostDirectory, link"), [](Guest& guest) {
    const int error =
        guest.tree.Link(guest.file, {kRootNode, "n"}, guest.entry);
    if (error == 0) guest.tree.Forget(guest.entry.node, 1);
    return error;
  });
  CheckOperation(FaultScenario("HostDirectory, unlink"), [](Guest& guest) {
    return guest.tree.Unlink({kRootNode, "f"});
  });
  CheckOperation(FaultScenario("HostDirectory, rmdir"), [](Guest& guest) {
    return guest.tree.RemoveDirectory({kRootNode, "d"});
  });
  CheckOperation(
      FaultScenario("HostDirectory, rename")
          .Survives("statx", {},
                    "it is done; the guest looks the file up again"),
      [](Guest& guest) {
        return guest.tree.Rename({kRootNode, "f"}, {guest.directory, "n"}, 0);
      });
}

TEST(HostDirectoryFaultsTest, OpenFiles) {
  CheckOperation(FaultScenario("HostDirectory, open"), [](Guest& guest) {
    FileTree::Handle handle = 0;
    const int error = guest.tree.Open(guest.file, O_RDWR | O_TRUNC, handle);
    if (error == 0) guest.tree.Release(handle);
    return error;
  });
  CheckOperation(FaultScenario("HostDirectory, create"), [](Guest& guest) {
    FileTree::Handle handle = 0;
    const int error = guest.tree.Create({kRootNode, "n"}, {.mode = 0666},
                                        O_RDWR, guest.entry, handle);
    if (error == 0) {
      guest.tree.Release(handle);
      guest.tree.Forget(guest.entry.node, 1);
    }
    return error;
  });
  CheckOperation(FaultScenario("HostDirectory, read"), [](Guest& guest) {
    std::array<char, sizeof kText> text;
    iovec part = {.iov_base = text.data(), .iov_len = text.size()};
    const FileTransfer read = guest.tree.Read(guest.handle, 0, {&part, 1});
    if (read.ok()) {
      EXPECT_EQ(read.bytes, sizeof kText - 1);
    }
    return read.error;
  });
  CheckOperation(FaultScenario("HostDirectory, write"), [](Guest& guest) {
    char text[] = "new text";
    iovec part = {.iov_base = text, .iov_len = sizeof text};
    const FileTransfer written = guest.tree.Write(guest.handle, 0, {&part, 1});
    EXPECT_EQ(written.bytes, written.ok() ? sizeof text : 0u);
    return written.error;
  });
  CheckOperation(FaultScenario("HostDirectory, sync"), [](Guest& guest) {
    if (const int error = guest.tree.Sync(guest.handle, false)) return error;
    if (const int error = guest.tree.Sync(guest.handle, true)) return error;
    if (const int error =
            guest.tree.SyncDirectory(guest.directory_handle, false)) {
      return error;
    }
    return guest.tree.SyncFileSystem();
  });
  CheckOperation(
      FaultScenario("HostDirectory, holes and copies"), [](Guest& guest) {
        uint64_t found = 0;
        if (const int error = guest.tree.Allocate(guest.handle, 0, 8192, 0)) {
          return error;
        }
        if (const int error =
                guest.tree.Seek(guest.handle, 0, SEEK_HOLE, found)) {
          return error;
        }
        return guest.tree.Copy({guest.handle, 0}, {guest.handle, 4096}, 10)
            .error;
      });
}

TEST(HostDirectoryFaultsTest, Directories) {
  CheckOperation(
      FaultScenario("HostDirectory, open directory"), [](Guest& guest) {
        FileTree::Handle handle = 0;
        const int error = guest.tree.OpenDirectory(guest.directory, handle);
        if (error == 0) guest.tree.ReleaseDirectory(handle);
        return error;
      });
  // The second getdents64 finds the end.
  CheckOperation(
      FaultScenario("HostDirectory, read directory"), [](Guest& guest) {
        return guest.tree.ReadDirectory(guest.directory_handle, 0,
                                        [](const auto&) { return true; });
      });
  CheckOperation(FaultScenario("HostDirectory, statfs"), [](Guest& guest) {
    fuse::FileSystemOut out;
    return guest.tree.StatFileSystem(guest.file, out);
  });
}

TEST(HostDirectoryFaultsTest, AFileThatIsOpenedAgain) {
  Check(
      FaultScenario("HostDirectory, open again")
          .GivesCode("openat2", {ENOENT, ELOOP, EXDEV},
                     ErrnoStatus(ESTALE, "").code(), "it is not where it was"),
      [&]() -> absl::Status {
        std::unique_ptr<ShareTestDirectory> share;
        std::unique_ptr<HostDirectory> tree;
        FileTree::Node file = 0;
        WithoutFaults([&] {
          share = std::make_unique<ShareTestDirectory>();
          share->MakeDirectory("d");
          share->WriteFile("f", kText);
          tree = *HostDirectory::Create(
              {.path = share->Path(), .max_open_nodes = 65, .max_handles = 1});
          file = Find(*tree, "f");
          for (int i = 0; i < 70; ++i) {
            share->WriteFile(std::to_string(i), "");
            Find(*tree, std::to_string(i).c_str());
          }
          return 0;
        });
        fuse::Attributes attributes;
        const int error = tree->GetAttributes(file, std::nullopt, attributes);
        WithoutFaults([&] {
          tree.reset();
          share.reset();
          return 0;
        });
        return error == 0 ? absl::OkStatus() : ErrnoStatus(error, kCalls);
      });
}

}  // namespace
}  // namespace libvmm::testing
