// From a vector to a published version.
#include "fleet/learning/outcome.h"

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/iso_time.h"
#include "fleet/models.h"
#include "fleet/rollout/plan.h"
#include "formats/json_ptr.h"

namespace skerry::fleet::learning {
namespace {

using nlohmann::json;

constexpr uint64_t kMostManifestBytes = 1 << 20;
constexpr size_t kDateCharacters = 10;  // of "2026-11-27T…"

// By its name in the version's recipe.
Result<std::string> artifact_of(const ComponentVersion& component, const std::string& file) {
  SKERRY_ASSIGN(const auto recipe, formats::parse_recipe(component.recipe_json));
  for (const formats::Manifest& manifest : recipe.manifests) {
    for (const formats::Artifact& artifact : manifest.artifacts) {
      if (artifact.file_name() != file || !artifact.uri.starts_with(ArtifactName::kScheme))
        continue;
      SKERRY_ASSIGN(const auto name,
                    parse_artifact_name(artifact.uri.substr(ArtifactName::kScheme.size())));
      return name.sha256;
    }
  }
  return fail(Code::kFailedPrecondition, component.name.str() + " " + component.version +
                                             " is no model: publish one with skerry model publish");
}

Result<SealedContent> store_content(ArtifactStore& artifacts, std::string_view bytes) {
  const auto writer = artifacts.begin_content({});
  SKERRY_TRY(writer->write(bytes));
  SKERRY_ASSIGN(SealedContent sealed, writer->seal());
  SKERRY_TRY(artifacts.committer()(*writer, sealed));
  return sealed;
}

// What of it is known; a training date, a data set and a metric make the model's file name.
formats::ModelProvenance provenance_of(const Training& training, const formats::ModelPackage& base,
                                       const TrainingRun::Outcome& outcome, int64_t now_ms) {
  formats::ModelProvenance from;
  from.model = base.name;
  from.source_sha256 = training.model_sha256;
  from.training_run = "skerry learn " + training.id;
  if (outcome.evaluations > 0) {
    from.trained_on = iso_time(now_ms).substr(0, kDateCharacters);
    from.dataset = training.data;
    from.metric = "accuracy";
    from.metrics["accuracy"] = outcome.accuracy;
  }
  from.optimiser["rounds"] = std::to_string(outcome.rounds);
  from.optimiser["plan"] = training.plan_json;
  if (outcome.epsilon > 0) from.optimiser["epsilon"] = json(outcome.epsilon).dump();
  return from;
}

ArtifactObject object_of(const Training& training, const std::string& file,
                         const SealedContent& content, int64_t now_ms) {
  return {.bucket = formats::kArtifactBucket,
          .key = training.component.str() + "/" + training.version + "/" + training.id + "/" + file,
          .sha256 = content.sha256,
          .size_bytes = content.size_bytes,
          .modified_ms = now_ms};
}

// The base's recipe with the new version and files.
Result<std::string> recipe_of(Store& store, const Training& training, const Made& made,
                              const std::string& base_file) {
  SKERRY_ASSIGN(const auto base, store.find_component(training.component, training.from_version));
  SKERRY_ASSIGN(json recipe, formats::parse_json(base.recipe_json));
  recipe["ComponentVersion"] = training.version;
  const auto place = [](const SealedContent& content, const std::string& file) {
    return std::optional(formats::ArtifactPlace{ArtifactName{content.sha256, file}.uri(),
                                                base64_of_hex(content.sha256)});
  };
  return formats::rewrite_artifacts(
      recipe.dump(),
      [&](const formats::Artifact& artifact) -> Result<std::optional<formats::ArtifactPlace>> {
        const std::string file = artifact.file_name();
        if (file == base_file) return place(made.model, made.package.file);
        if (file == formats::kModelManifestFile) return place(made.manifest, file);
        return std::optional<formats::ArtifactPlace>();
      });
}

// What the group runs already, and the new version.
Result<DeploymentId> roll_out(Store& store, const Deployments& deployments,
                              const Training& training) {
  SKERRY_ASSIGN(const json rollout, formats::parse_json(training.rollout_json));
  SKERRY_ASSIGN(auto plan, rollout::parse_plan(rollout.value("plan", json::object())));
  const std::string target_arn = rollout.value("targetArn", "");
  json request = {{"targetArn", target_arn}, {"components", json::object()}};
  const auto latest = store.latest_deployment(target_arn);
  if (latest) {
    SKERRY_ASSIGN(const json before, formats::parse_json(latest->request_json));
    for (const char* member : {"components", "deploymentPolicies"}) {
      if (before.contains(member)) request[member] = before[member];
    }
  } else if (latest.error().code() != Code::kNotFound) {
    return fail(latest.error());
  }
  request["components"][training.component.str()]["componentVersion"] = training.version;
  request["deploymentName"] = "learned " + training.version;
  SKERRY_ASSIGN(const auto made, deployments.create(store, request, std::move(plan)));
  return made.id;
}

// What has been learned is not lost where the rollout cannot be: the reason says so.
Result<void> begin_rollout(Store& store, const Deployments& deployments, Training& training) {
  if (training.rollout_json.empty()) return {};
  Result<DeploymentId> made = fail(Code::kInternal, "");
  const auto begun = store.transaction([&]() -> Result<void> {
    made = roll_out(store, deployments, training);
    return made ? Result<void>() : fail(made.error());
  });
  if (begun) {
    training.deployment_id = made->str();
    return {};
  }
  const Error& why = begun.error();
  if (why.retryable() || why.code() == Code::kInternal) return fail(why);
  training.reason += "; there is no rollout: " + why.message();
  return {};
}

}  // namespace

Result<formats::ModelPackage> package_of(Store& store, ArtifactStore& artifacts,
                                         const ComponentName& component,
                                         const std::string& version) {
  SKERRY_ASSIGN(const auto published, store.find_component(component, version));
  const auto file_of = [&](const std::string& file) -> Result<std::string> {
    SKERRY_ASSIGN(const std::string digest, artifact_of(published, file));
    if (artifacts.contains(digest)) return artifacts.path_of(digest);
    return fail(Code::kFailedPrecondition,
                "the file " + file + " of " + component.str() + " " + version +
                    " is not in this control plane's own artifact store: publish it here");
  };
  SKERRY_ASSIGN(const std::string path, file_of(std::string(formats::kModelManifestFile)));
  SKERRY_ASSIGN(const std::string text,
                io::read_file(artifacts.env().files, path, kMostManifestBytes));
  SKERRY_ASSIGN(auto package, formats::parse_model_package(text));
  SKERRY_TRY(file_of(package.file));
  return package;
}

Result<Made> make_files(ArtifactStore& artifacts, const Training& training,
                        const formats::ModelPackage& base, const TrainingRun::Outcome& outcome,
                        int64_t now_ms) {
  Made made{.package = base, .provenance = provenance_of(training, base, outcome, now_ms)};
  SKERRY_ASSIGN(made.model, store_content(artifacts, outcome.model));
  const std::string release = formats::release_name_of(made.provenance);
  made.package.version = training.version;
  made.package.sha256 = made.model.sha256;
  made.package.file = (release.empty() ? "model" : release) + ".onnx";
  made.provenance.artifact = made.package.file;
  made.provenance.artifact_sha256 = made.model.sha256;
  SKERRY_ASSIGN(made.provenance,
                formats::parse_model_provenance(formats::to_json(made.provenance)));
  SKERRY_ASSIGN(made.manifest, store_content(artifacts, formats::to_text(made.package)));
  return made;
}

Result<void> publish(Store& store, ArtifactStore& artifacts, const Deployments& deployments,
                     const Made& made, int64_t now_ms, Training& training) {
  return store.transaction([&]() -> Result<void> {
    SKERRY_ASSIGN(const auto base,
                  package_of(store, artifacts, training.component, training.from_version));
    SKERRY_TRY(store.put_object(object_of(training, made.package.file, made.model, now_ms)));
    SKERRY_TRY(store.put_object(
        object_of(training, std::string(formats::kModelManifestFile), made.manifest, now_ms)));
    SKERRY_ASSIGN(const std::string recipe, recipe_of(store, training, made, base.file));
    SKERRY_ASSIGN(ComponentVersion component, component_from_recipe(store, artifacts, recipe));
    component.created_ms = now_ms;
    SKERRY_TRY(store.check_same_as_deleted(component));
    SKERRY_TRY(describe_model(store, {.component = training.component,
                                      .version = training.version,
                                      .provenance = made.provenance,
                                      .created_by = training.created_by,
                                      .created_ms = now_ms}));
    SKERRY_TRY(store.create_component(component));
    SKERRY_TRY(begin_rollout(store, deployments, training));
    training.updated_ms = now_ms;
    return change_training(store, training);
  });
}

}  // namespace skerry::fleet::learning
