// The store on a real SQLite file: what is written is there after reopening, lists page, versions
// guard updates, old databases come forward and newer ones are refused.
#include "fleet/store.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fleet/endings.h"
#include "fleet/overview_store.h"
#include "fleet/store_migrations.h"
#include "fleet/store_sql.h"
#include "io/files.h"
#include "io/test_directory.h"

namespace skerry::fleet {
namespace {

class StoreTest : public testing::Test {
 protected:
  void SetUp() override { reopen(); }
  void TearDown() override { store_.reset(); }
  void reopen() {
    store_.reset();
    auto opened = Store::open(path());
    ASSERT_TRUE(opened) << opened.error().message();
    store_ = std::move(*opened);
  }
  std::string path() const { return directory_ + "/fleet.db"; }

  void add_thing(const std::string& name) {
    ASSERT_TRUE(store_->create_thing({ThingName(name), "id-" + name, "{}", 5}));
  }
  Deployment deploy(const std::string& id, const std::string& target) {
    Deployment deployment;
    deployment.id = DeploymentId(id);
    deployment.job_id = JobId("job-" + id);
    deployment.target_arn = target;
    deployment.revision = store_->next_revision(target).value();
    auto created = store_->create_deployment(deployment);
    EXPECT_TRUE(created) << created.error().message();
    return *created;
  }

  const io::ScratchDirectory scratch_;
  const std::string directory_ = scratch_.path();
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, TheDatabaseIsReadableByItsOwnerOnly) {
  struct stat info{};
  ASSERT_EQ(::stat(path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(StoreTest, ThingsAndGroupsSurviveReopening) {
  add_thing("b");
  add_thing("a");
  EXPECT_EQ(store_->create_thing({ThingName("a"), "other", "{}", 6}).error().code(),
            Code::kAlreadyExists);
  ASSERT_TRUE(store_->create_group({ThingGroupName("g"), "gid", "for tests", 7}));
  ASSERT_TRUE(store_->add_to_group(ThingName("a"), ThingGroupName("g")));
  ASSERT_TRUE(store_->add_to_group(ThingName("a"), ThingGroupName("g")));
  ASSERT_TRUE(store_->add_to_group(ThingName("b"), ThingGroupName("g")));
  EXPECT_EQ(store_->add_to_group(ThingName("c"), ThingGroupName("g")).error().code(),
            Code::kNotFound);
  reopen();
  EXPECT_EQ(store_->find_thing(ThingName("a"))->id, "id-a");
  auto group = store_->find_group(ThingGroupName("g"));
  ASSERT_TRUE(group);
  EXPECT_EQ(group->description, "for tests");
  EXPECT_EQ(store_->things_in_group(ThingGroupName("g"))->size(), 2u);
  ASSERT_TRUE(store_->remove_from_group(ThingName("a"), ThingGroupName("g")));
  EXPECT_EQ(store_->things_in_group(ThingGroupName("g"))->front().str(), "b");
  EXPECT_TRUE(store_->list_groups_of_thing(ThingName("a"), {})->items.empty());
}

TEST_F(StoreTest, ListsPageWithoutGapsOrRepeats) {
  for (const char* name : {"e", "a", "d", "b", "c"}) add_thing(name);
  std::string seen;
  Page page{2, ""};
  int pages = 0;
  do {
    auto slice = store_->list_things(page);
    ASSERT_TRUE(slice);
    for (const Thing& thing : slice->items) seen += thing.name.str();
    page.after = slice->next;
    ++pages;
  } while (!page.after.empty());
  EXPECT_EQ(seen, "abcde");
  EXPECT_EQ(pages, 3);
}

TEST_F(StoreTest, CertificatesKeepTheirStatusAndThing) {
  add_thing("a");
  Certificate certificate{"ab12", "PEM", CertificateStatus::kActive, "a", ThingName(), 1, 2};
  ASSERT_TRUE(store_->add_certificate(certificate));
  EXPECT_EQ(store_->add_certificate(certificate).error().code(), Code::kAlreadyExists);
  EXPECT_TRUE(store_->find_certificate("ab12")->thing.empty());
  ASSERT_TRUE(store_->attach_certificate("ab12", ThingName("a")));
  ASSERT_TRUE(store_->set_certificate_status("ab12", CertificateStatus::kRevoked));
  reopen();
  auto found = store_->find_certificate("ab12");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->status, CertificateStatus::kRevoked);
  EXPECT_EQ(found->thing.str(), "a");
  EXPECT_EQ(found->expires_ms, 2);
  EXPECT_EQ(store_->certificates_of_thing(ThingName("a"))->size(), 1u);
}

TEST_F(StoreTest, ComponentVersionsAreWrittenOnce) {
  ComponentVersion version{ComponentName("c"), "1.0.0", "{}", "d", "p", "{}", 9};
  ASSERT_TRUE(store_->create_component(version));
  auto again = store_->create_component(version);
  EXPECT_EQ(again.error().code(), Code::kAlreadyExists);
  EXPECT_EQ(again.error().message(),
            "component c already has version 1.0.0: publish the change as a new version");
  version.version = "1.1.0";
  ASSERT_TRUE(store_->create_component(version));
  EXPECT_EQ(store_->component_versions(ComponentName("c"))->size(), 2u);
  EXPECT_EQ(store_->list_component_names({})->items.size(), 1u);
  ASSERT_TRUE(store_->delete_component(ComponentName("c"), "1.0.0"));
  EXPECT_EQ(store_->find_component(ComponentName("c"), "1.0.0").error().code(), Code::kNotFound);
}

TEST_F(StoreTest, ANewDeploymentIsTheLatestOfItsTarget) {
  EXPECT_EQ(deploy("d1", "t").revision, 1);
  EXPECT_EQ(deploy("d2", "u").revision, 1);
  EXPECT_EQ(deploy("d3", "t").revision, 2);
  EXPECT_EQ(store_->latest_deployment("t")->id.str(), "d3");
  EXPECT_FALSE(store_->find_deployment(DeploymentId("d1"))->is_latest);
  auto all = store_->list_deployments({}, {2, ""});
  ASSERT_TRUE(all);
  EXPECT_EQ(all->items[0].id.str(), "d3");
  EXPECT_EQ(store_->list_deployments({}, {2, all->next})->items.front().id.str(), "d1");
  EXPECT_EQ(store_->list_deployments({"t", "", false}, {})->items.size(), 2u);
  EXPECT_EQ(store_->list_deployments({"t", "", true}, {})->items.size(), 1u);
}

TEST_F(StoreTest, QueuedTimesOfOneThingNeverGoBack) {
  add_thing("a");
  deploy("d1", "t");
  deploy("d2", "t");
  EXPECT_EQ(store_->queue_execution(JobId("job-d1"), ThingName("a"), 1000)->queued_ms, 1000);
  EXPECT_EQ(store_->queue_execution(JobId("job-d2"), ThingName("a"), 400)->queued_ms, 1000);
}

TEST_F(StoreTest, ExecutionsComeInOrderAndVersionsGuardThem) {
  add_thing("a");
  deploy("d1", "t");
  deploy("d2", "u");
  const ThingName thing("a");
  ASSERT_TRUE(store_->queue_execution(JobId("job-d1"), thing, 1000));
  ASSERT_TRUE(store_->queue_execution(JobId("job-d2"), thing, 2000));
  EXPECT_EQ(store_->next_pending(thing)->value().job_id.str(), "job-d1");
  auto begun = store_->update_execution(JobId("job-d2"), thing,
                                        {ExecutionStatus::kInProgress, "{\"a\":\"b\"}", 1, 3000});
  ASSERT_TRUE(begun) << begun.error().message();
  EXPECT_EQ(begun->started_ms, 3000);
  EXPECT_EQ(begun->version_number, 2);
  EXPECT_EQ(store_->next_pending(thing)->value().job_id.str(), "job-d2");
  auto stale = store_->update_execution(JobId("job-d2"), thing,
                                        {ExecutionStatus::kSucceeded, std::nullopt, 1, 3500});
  EXPECT_EQ(stale.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(stale.error().message(), "job job-d2 on thing a is at version 2, not 1");
  ASSERT_TRUE(store_->update_execution(JobId("job-d2"), thing,
                                       {ExecutionStatus::kSucceeded, std::nullopt, 2, 4000}));
  reopen();
  auto ended = store_->find_execution(JobId("job-d2"), thing);
  EXPECT_EQ(ended->status, ExecutionStatus::kSucceeded);
  EXPECT_EQ(ended->status_details_json, "{\"a\":\"b\"}");
  EXPECT_EQ(store_
                ->update_execution(JobId("job-d2"), thing,
                                   {ExecutionStatus::kFailed, std::nullopt, std::nullopt, 5000})
                .error()
                .code(),
            Code::kFailedPrecondition);
  EXPECT_EQ(store_->pending_executions(thing)->size(), 1u);
  EXPECT_EQ(
      end_executions(*store_, JobId("job-d1"), Ends::kQueued, ExecutionStatus::kCanceled, 6000)
          .value_or(0),
      1);
  EXPECT_FALSE(store_->next_pending(thing)->has_value());
  // The same job again on the thing is a new execution.
  EXPECT_EQ(store_->queue_execution(JobId("job-d1"), thing, 7000)->execution_number, 2);
  auto newest = store_->list_executions_of_thing(thing, {1, ""});
  EXPECT_EQ(newest->items.front().job_id.str(), "job-d1");
  EXPECT_EQ(store_->list_executions_of_thing(thing, {1, newest->next})->items.front().job_id.str(),
            "job-d2");
  auto counts = store_->count_executions(JobId("job-d2"));
  ASSERT_EQ(counts->size(), 1u);
  EXPECT_EQ(counts->front(), std::pair(ExecutionStatus::kSucceeded, int64_t{1}));
}

TEST_F(StoreTest, FleetStatusKeepsTimesOfWhatDidNotChange) {
  add_thing("a");
  const ThingName thing("a");
  ASSERT_TRUE(store_->upsert_core_device({thing, true, 10, "2.0", "linux", "amd64", "", 1}));
  InstalledComponent component{
      ComponentName("c"), "1.0.0", "RUNNING", "[]", "", "[]", true, 100, 100, 100};
  InstalledComponent other = component;
  other.name = ComponentName("d");
  other.is_root = false;
  ASSERT_TRUE(store_->replace_installed_components(thing, {component, other}));
  component.changed_ms = component.reported_ms = component.installed_ms = 200;
  ASSERT_TRUE(store_->merge_installed_components(thing, {component}));
  auto listed = store_->list_installed_components(thing, false, {});
  ASSERT_EQ(listed->items.size(), 2u);
  EXPECT_EQ(listed->items[0].changed_ms, 100);
  EXPECT_EQ(listed->items[0].reported_ms, 200);
  component.state = "BROKEN";
  ASSERT_TRUE(store_->replace_installed_components(thing, {component}));
  listed = store_->list_installed_components(thing, true, {});
  ASSERT_EQ(listed->items.size(), 1u);
  EXPECT_EQ(listed->items[0].changed_ms, 200);
  EXPECT_EQ(listed->items[0].installed_ms, 100);
  EXPECT_EQ(store_->list_core_devices({true, ThingGroupName(), ""}, {})->items.size(), 1u);
  EXPECT_TRUE(store_->list_core_devices({false, ThingGroupName(), ""}, {})->items.empty());
}

TEST_F(StoreTest, ATransactionIsAllOrNothing) {
  auto result = store_->transaction([&]() -> Result<void> {
    SKERRY_TRY(store_->create_thing({ThingName("a"), "id", "{}", 1}));
    return store_->create_thing({ThingName("a"), "id", "{}", 1});
  });
  EXPECT_EQ(result.error().code(), Code::kAlreadyExists);
  EXPECT_EQ(store_->find_thing(ThingName("a")).error().code(), Code::kNotFound);
  add_thing("a");
}

TEST_F(StoreTest, AnswersAreKeptForADay) {
  constexpr int64_t kHourMs = 3'600'000;
  ASSERT_TRUE(store_->remember_answer("CreateDeployment", "t1", {"hash", "{}"}, 1000 * kHourMs));
  ASSERT_TRUE(store_->remember_answer("CreateDeployment", "t2", {"hash", "{}"}, 1023 * kHourMs));
  EXPECT_EQ(store_->find_answer("CreateDeployment", "t1")->value().request_sha256, "hash");
  EXPECT_FALSE(store_->find_answer("CreateComponentVersion", "t1")->has_value());
  ASSERT_TRUE(store_->remember_answer("CreateDeployment", "t3", {"hash", "{}"}, 1025 * kHourMs));
  EXPECT_FALSE(store_->find_answer("CreateDeployment", "t1")->has_value());
  EXPECT_TRUE(store_->find_answer("CreateDeployment", "t2")->has_value());
}

TEST_F(StoreTest, AnOldDatabaseComesForwardWithItsContent) {
  store_.reset();
  const std::string old_path = directory_ + "/old.db";
  {
    auto database = Database::open(old_path);
    ASSERT_TRUE(database);
    ASSERT_TRUE(migrate(**database, 1));
    ASSERT_TRUE((*database)->execute(
        "INSERT INTO things (name, id, attributes, created_ms) VALUES ('old', 'x', '{}', 1)"));
    ASSERT_FALSE((*database)->execute("SELECT * FROM components"));
  }
  auto store = Store::open(old_path);
  ASSERT_TRUE(store) << store.error().message();
  EXPECT_EQ((*store)->find_thing(ThingName("old"))->id, "x");
  EXPECT_TRUE((*store)->create_component({ComponentName("c"), "1.0.0", "{}", "", "", "{}", 1}));
}

TEST_F(StoreTest, TheFormerVersionsDatabaseComesForwardWithItsContent) {
  store_.reset();
  const std::string old_path = directory_ + "/old.db";
  {
    auto database = Database::open(old_path);
    ASSERT_TRUE(database);
    ASSERT_TRUE(migrate(**database, 6));
    for (const char* statement :
         {"INSERT INTO things (name, id, attributes, created_ms) VALUES ('t', 'x', '{}', 1)",
          "INSERT INTO thing_groups (name, id, description, created_ms) VALUES ('g', 'y', 'd', 1)",
          "INSERT INTO memberships (group_name, thing) VALUES ('g', 't')",
          R"(INSERT INTO deployments
             VALUES ('d', 'j', 1, '', 'arn-of-g', '', 7, 'ACTIVE', 1,
                     '{"components": {"c": {"componentVersion": "1.0.0"}}}', '{}', '{}', 1))",
          "INSERT INTO job_executions VALUES ('j', 't', 'QUEUED', '{}', 1, 0, 1, 1, 1)",
          "INSERT INTO core_devices VALUES ('t', 1, 1, '', '', '', '', 1)"}) {
      ASSERT_TRUE((*database)->execute(statement)) << statement;
    }
  }
  auto opened = Store::open(old_path);
  ASSERT_TRUE(opened) << opened.error().message();
  Store& store = **opened;
  EXPECT_EQ(store.find_thing(ThingName("t"))->version, 1);
  EXPECT_EQ(store.find_group(ThingGroupName("g"))->attributes_json, "{}");
  EXPECT_EQ(store.find_core_device(ThingName("t"))->tags_json, "{}");
  EXPECT_EQ(store.next_pending(ThingName("t"))->value().job_id, JobId("j"));
  EXPECT_EQ(store.next_revision("arn-of-g").value(), 8);
  const auto brought = deployments_of_component(store, ComponentName("c"), 10);
  ASSERT_EQ(brought->size(), 1U);
  EXPECT_EQ(brought->front().version, "1.0.0");
  EXPECT_EQ(store.next_revision("arn-of-another").value(), 1);
  EXPECT_TRUE(store.delete_thing(ThingName("t")));
}

TEST_F(StoreTest, OnlyWhatIsEndedAndSupersededIsForgotten) {
  add_thing("t");
  const ThingName thing("t");
  for (const char* id : {"d1", "d2"}) {
    Deployment deployment;
    deployment.id = DeploymentId(id);
    deployment.job_id = JobId(std::string("j-") + id);
    deployment.target_arn = "arn";
    deployment.created_ms = 1;
    ASSERT_TRUE(store_->create_deployment(deployment));
    ASSERT_TRUE(store_->queue_execution(deployment.job_id, thing, 1));
  }
  EXPECT_EQ(store_->prune(1000, 10).value(), 0) << "nothing has ended";
  for (const char* job : {"j-d1", "j-d2"}) {
    Store::ExecutionChange change;
    change.status = ExecutionStatus::kSucceeded;
    change.now_ms = 500;
    ASSERT_TRUE(store_->update_execution(JobId(job), thing, change));
  }
  EXPECT_EQ(store_->prune(500, 10).value(), 0) << "it is not old enough";
  EXPECT_EQ(store_->prune(1000, 10).value(), 2) << "the execution and the deployment";
  EXPECT_FALSE(store_->find_deployment(DeploymentId("d1")));
  EXPECT_TRUE(store_->find_execution(JobId("j-d2"), thing)) << "of the latest deployment";
  EXPECT_EQ(store_->prune(1000, 10).value(), 0);
}

TEST_F(StoreTest, ADatabaseOfANewerProgramIsRefused) {
  store_.reset();
  {
    auto database = Database::open(path());
    ASSERT_TRUE((*database)->execute("UPDATE schema_version SET version = 999"));
  }
  auto store = Store::open(path());
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code(), Code::kFailedPrecondition);
  EXPECT_NE(store.error().message().find("has schema 999"), std::string::npos);
}

TEST_F(StoreTest, AFileThatIsNoDatabaseIsNamed) {
  const std::string bad = directory_ + "/bad.db";
  io::RealFiles files;
  ASSERT_TRUE(io::write_file_atomic(files, bad, std::string(4096, 'x')));
  auto store = Store::open(bad);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code(), Code::kCorrupt) << store.error().message();
  EXPECT_NE(store.error().message().find(bad), std::string::npos);
}

}  // namespace
}  // namespace skerry::fleet
