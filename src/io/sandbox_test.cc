// Real children in sandboxes: what they read, write and call, with and without what the kernel has.
#include "io/sandbox.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "io/blocking_process.h"
#include "io/processes.h"

namespace skerry::io {
namespace {

namespace fs = std::filesystem;

// A device's tree as other programs leave it: open to everybody, so that users and modes say yes.
// Not below /tmp, which is the child's own.
class SandboxTest : public testing::Test {
 protected:
  SandboxTest() {
    std::string name = "/var/tmp/skerry-sandbox-XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
    for (const char* folder : {"", "/work", "/other", "/opened", "/tmp"}) {
      fs::create_directories(root_ + folder);
      fs::permissions(root_ + folder, fs::perms::all);
    }
    for (const char* file : {"/work/mine", "/other/secret", "/opened/data"})
      std::ofstream(root_ + file) << "content";
    sandbox_.readable = {"/", root_ + "/opened"};
    sandbox_.hidden = {root_, "/home", "/root"};
    sandbox_.devices = {"/dev", "/proc"};
    sandbox_.writable = {root_ + "/work"};
  }
  ~SandboxTest() override { fs::remove_all(root_); }

  // What the shell prints, a line for each command: "yes" where it succeeds.
  std::string answers(const std::vector<std::string>& commands, bool as_caller = false) {
    ProcessSpec spec;
    std::string script;
    for (const std::string& command : commands)
      script += "(" + command + ") >/dev/null 2>&1 && printf 'yes ' || printf 'no ';";
    spec.argv = {"/bin/sh", "-c", script};
    spec.environment = {{"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"}};
    spec.working_directory = root_ + "/work";
    if (::geteuid() == 0 && !as_caller) spec.user = User{65534, 65534};
    spec.sandbox = sandbox_;
    const auto finished = run_process(spec, 1 << 16, {});
    if (!finished) return finished.error().message();
    return finished->out;
  }

  std::string root_;
  Sandbox sandbox_;
};

TEST_F(SandboxTest, ReadsAndWritesWhatIsOpenedAndNothingElse) {
  if (landlock_version() == 0) GTEST_SKIP() << "this kernel has no Landlock";
  EXPECT_EQ(answers({"cat mine", "echo x > new && mv new newer && rm newer", "cat /etc/passwd",
                     "ls /usr/bin", "echo > /dev/null", "echo 1000 > /proc/self/oom_score_adj",
                     "test -d /"}),
            "yes yes yes yes yes yes yes ");
  EXPECT_EQ(answers({"cat ../other/secret", "echo x > ../other/secret", "rm ../other/secret",
                     "cat ../opened/data", "echo x > ../opened/data", "touch ../opened/new",
                     "touch /var/tmp/skerry-sandbox-new", "ln ../other/secret here && cat here",
                     "mv ../other/secret ."}),
            "no no no yes no no no no no ");
  EXPECT_EQ(answers({"cp /bin/cat ./cat && ./cat mine", "mknod pipe p"}), "yes yes ");
}

TEST_F(SandboxTest, FilesMayBeNamedAndWhatIsNotThereIsLeftOut) {
  if (landlock_version() == 0) GTEST_SKIP() << "this kernel has no Landlock";
  sandbox_.readable.push_back(root_ + "/other/secret");
  sandbox_.writable.push_back(root_ + "/none");
  EXPECT_EQ(answers({"cat ../other/secret", "echo x > ../other/secret", "ls ../other"}),
            "yes no yes ");
}

TEST_F(SandboxTest, LinksLeadNowhereElse) {
  if (landlock_version() == 0) GTEST_SKIP() << "this kernel has no Landlock";
  ASSERT_EQ(::symlink((root_ + "/other").c_str(), (root_ + "/work/link").c_str()), 0);
  EXPECT_EQ(answers({"cat link/secret", "echo x > link/secret"}), "no no ");
}

TEST_F(SandboxTest, HasATmpOfItsOwn) {
  if (!sandbox_support().own_tmp) GTEST_SKIP() << "this user may not mount";
  sandbox_.temporary_folder = root_ + "/tmp";
  const std::string outside = "/tmp/skerry-sandbox-" + std::to_string(::getpid());
  std::ofstream(outside) << "of the machine";
  EXPECT_EQ(
      answers({"test -e " + outside, "echo inside > /tmp/mine", "cat /tmp/mine", "test -w /tmp"}),
      "no yes yes yes ");
  fs::remove(outside);
  EXPECT_TRUE(fs::exists(root_ + "/tmp/mine"));
  EXPECT_FALSE(fs::exists("/tmp/mine"));
}

// As root, where nothing but the filter is in the way.
TEST_F(SandboxTest, RefusesCallsThatNoComponentNeeds) {
  if (!sandbox_support().call_filters) GTEST_SKIP() << "this kernel has no seccomp filters";
  EXPECT_EQ(answers({"LC_ALL=C swapoff /skerry-none 2>&1 | grep -qi 'not permitted\\|superuser'",
                     "sleep 0", "(exit 0) & wait"},
                    true),
            "yes yes yes ");
}

// Such a kernel is made by a filter: the call is not there.
TEST_F(SandboxTest, AnOldKernelGivesTheRest) {
  if (!sandbox_support().call_filters) GTEST_SKIP() << "this kernel has no seccomp filters";
  const auto as_on_old_kernel = [this] {
    constexpr std::array<long, 1> kNew = {SYS_landlock_create_ruleset};
    if (!install_filter(refuse_calls(kNew, ENOSYS))) return 2;
    if (landlock_version() != 0) return 3;
    return answers({"cat mine", "cat ../other/secret"}, true) == "yes yes " ? 0 : 4;
  };
  EXPECT_EXIT(::_exit(as_on_old_kernel()), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace skerry::io
