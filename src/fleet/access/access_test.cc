// Passwords, access keys while they change, operators and their sessions, the audit log.
#include <gtest/gtest.h>

#include "fleet/access/access_keys.h"
#include "fleet/access/passwords.h"
#include "fleet/test_fleet.h"

namespace skerry::fleet {
namespace {

TEST(Passwords, OnlyTheSamePasswordFits) {
  io::RealRandom random;
  auto hash = hash_password("correct horse battery", random);
  ASSERT_TRUE(hash) << hash.error().message();
  EXPECT_TRUE(is_password("correct horse battery", *hash));
  EXPECT_FALSE(is_password("correct horse batterY", *hash));
  EXPECT_FALSE(is_password("", *hash));
  EXPECT_NE(*hash, *hash_password("correct horse battery", random)) << "every hash has its salt";
}

TEST(Passwords, ShortAndEndlessOnesAreRefused) {
  io::RealRandom random;
  EXPECT_EQ(hash_password("123456789", random).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(hash_password(std::string(257, 'x'), random).error().code(), Code::kInvalidArgument);
}

TEST(Passwords, WhatIsNoHashFitsNothing) {
  for (const char* hash : {"", "scrypt", "scrypt$x$8$1$AAAA$AAAA", "plain$1$1$1$a$b",
                           "scrypt$1073741824$8$1$AAAA$AAAA", "scrypt$32768$8$1$AAAA$"}) {
    EXPECT_FALSE(is_password("", hash)) << hash;
  }
}

// RFC 7914, section 12: what OpenSSL computes is scrypt.
TEST(Passwords, PublishedVector) {
  EXPECT_TRUE(is_password("pleaseletmein",
                          "scrypt$16384$8$1$U29kaXVtQ2hsb3JpZGU=$"
                          "cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI="))
      << "its first 32 bytes";
}

class AccessTest : public testing::Test {
 protected:
  AccessTest() {
    io::TaskScope scope;
    scope.spawn([](AccessTest& test) -> io::Task<void> {
      auto opened = co_await AccessKeys::open(test.fleet_.stores, {"AKIAROOT", "root-secret", ""});
      if (opened) test.keys_ = std::move(*opened);
    }(*this));
    fleet_.settle();
  }
  // A change counts when whoever made it is answered: nothing settles here.
  template <class Work>
  void change(Work work) {
    auto done = fleet_.write([&](Store& store) { return work(store); });
    EXPECT_TRUE(done) << done.error().message();
  }

  TestFleet fleet_;
  std::unique_ptr<AccessKeys> keys_;
};

TEST_F(AccessTest, TheRootKeyIsAnAdminAndNobodyElseIsKnown) {
  ASSERT_TRUE(keys_);
  EXPECT_EQ(keys_->secret_of("AKIAROOT", ""), "root-secret");
  EXPECT_EQ(keys_->identity_of("AKIAROOT")->role, Role::kAdmin);
  EXPECT_EQ(keys_->secret_of("AKIAROOT", "token"), std::nullopt);
  EXPECT_EQ(keys_->secret_of("AKIAOTHER", ""), std::nullopt);
}

TEST_F(AccessTest, AKeyWorksWhileItIsEnabled) {
  const AccessKey key{"AKIA1", "s1", "ci", Role::kDeployer, true, 1};
  change([&](Store& store) { return add_access_key(store, key); });
  EXPECT_EQ(keys_->secret_of("AKIA1", ""), "s1");
  EXPECT_EQ(keys_->identity_of("AKIA1")->name, "ci");
  change([&](Store& store) { return enable_access_key(store, "AKIA1", false); });
  EXPECT_EQ(keys_->secret_of("AKIA1", ""), std::nullopt);
  change([&](Store& store) { return enable_access_key(store, "AKIA1", true); });
  EXPECT_EQ(keys_->secret_of("AKIA1", ""), "s1");
  change([&](Store& store) { return delete_access_key(store, "AKIA1"); });
  EXPECT_EQ(keys_->secret_of("AKIA1", ""), std::nullopt);
}

TEST_F(AccessTest, AnotherPasswordEndsTheSessions) {
  Operator person{"ada", Role::kViewer, "hash", true, 1};
  change([&](Store& store) { return add_operator(store, person); });
  change([&](Store& store) {
    return add_console_session(store, {"digest", "ada", "csrf", fleet_.clock.wall});
  });
  EXPECT_TRUE(find_console_session(*fleet_.store, "digest"));
  person.password_hash = "other";
  change([&](Store& store) { return update_operator(store, person); });
  EXPECT_EQ(find_console_session(*fleet_.store, "digest").error().code(), Code::kNotFound);
  EXPECT_EQ(add_operator(*fleet_.store, person).error().code(), Code::kAlreadyExists);
}

TEST_F(AccessTest, TheAuditLogIsSearchedByTextAndTime) {
  change([](Store& store) -> Result<void> {
    for (int i = 0; i < 4; ++i) {
      SKERRY_TRY(add_audit_entry(store, {.at_ms = i * 1000,
                                         .actor = "ada",
                                         .operation = i < 2 ? "iot:CreateThing" : "iot:DeleteThing",
                                         .resource = "/things/press_" + std::to_string(i)}));
    }
    return {};
  });
  const auto found = [&](const AuditFilter& filter) {
    std::vector<std::string> resources;
    const auto page = list_audit(*fleet_.store, filter, {});
    for (const AuditEntry& entry : page->items) resources.push_back(entry.resource.substr(8));
    return resources;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(found({.text = "Create"}), (Names{"press_1", "press_0"}));
  EXPECT_EQ(found({.text = "press_3"}), (Names{"press_3"}));
  EXPECT_EQ(found({.text = "%"}), Names{}) << "no wildcard";
  EXPECT_EQ(found({.from_ms = 1000, .until_ms = 3000}), (Names{"press_2", "press_1"}));
  EXPECT_EQ(found({.text = "Delete", .until_ms = 3000}), (Names{"press_2"}));
}

TEST_F(AccessTest, TheAuditLogIsReadNewestFirstAndPruned) {
  for (int i = 0; i < 5; ++i) {
    change([&](Store& store) {
      return add_audit_entry(store, {0, i * 1000, i % 2 ? "ada" : "bob", Role::kAdmin, "console",
                                     "iot:CreateThing", "/things/t", "id", "{}"});
    });
  }
  auto page = list_audit(*fleet_.store, {"bob", ""}, {2, ""});
  ASSERT_TRUE(page);
  ASSERT_EQ(page->items.size(), 2U);
  EXPECT_EQ(page->items[0].at_ms, 4000);
  auto rest = list_audit(*fleet_.store, {"bob", ""}, {2, page->next});
  ASSERT_EQ(rest->items.size(), 1U);
  EXPECT_EQ(rest->items[0].at_ms, 0);
  EXPECT_EQ(prune_audit(*fleet_.store, 9000, 100).value_or(0), 4) << "the newest stays";
}

}  // namespace
}  // namespace skerry::fleet
