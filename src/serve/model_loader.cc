// The steps of a load.
#include "serve/model_loader.h"

#include <fmt/format.h>

#include "pipeline/pipeline.h"

namespace skerry::serve {

namespace {

// The runtimes that a pipeline's models may need, as a trial is told of them.
std::vector<std::string> runtimes_for(const InspectedPackage& package,
                                      const runtime::Runtimes& runtimes) {
  std::vector<std::string> texts;
  if (package.manifest.runtime != pipeline::kRuntimeName) return texts;
  for (const runtime::AvailableRuntimePtr& each : usable_runtimes(runtimes)) {
    const auto& origin = each->origin();
    if (origin.name == pipeline::kRuntimeName) continue;
    texts.push_back(origin.library.empty() ? origin.name : origin.name + "=" + origin.library);
  }
  return texts;
}

}  // namespace

Result<void> ModelLoader::try_first(const InspectedPackage& package,
                                    const std::stop_token& stop) const {
  TrialRequest request{.model = package.id.model,
                       .directory = package.directory,
                       .runtime = package.manifest.runtime,
                       .library = package.runtime->origin().library,
                       .more_runtimes = runtimes_for(package, *runtimes_),
                       .key = package.id.key,
                       .load = options_.load,
                       .memory_limit_bytes = options_.trial_memory_bytes != 0
                                                 ? options_.trial_memory_bytes
                                                 : trial_memory_limit(package.size_bytes)};
  auto report = options_.trial(request, stop);
  if (!report && report.error().code() == Code::kResourceExhausted) {
    return fail(report.error().code(),
                fmt::format("{} (a trial gets {} MiB; skerry-infer serve --trial-memory-mb)",
                            report.error().message(), request.memory_limit_bytes >> 20));
  }
  if (!report) return fail(std::move(report.error()));
  trials_->prove(package.id, *report);
  return {};
}

Result<std::unique_ptr<ServedModel>> ModelLoader::load(const std::string& name,
                                                       const std::string& directory, bool retry,
                                                       const std::stop_token& stop) const {
  SKERRY_ASSIGN(const auto package, inspect_package(*runtimes_, name, directory));
  SKERRY_TRY(trials_->admit(package.id, retry));
  // Step 1: whatever it does, it does to another process.
  if (options_.trial && !trials_->is_proved(package.id)) SKERRY_TRY(try_first(package, stop));
  // Step 2: from here on it is known whose fault it is if this process dies.
  auto activity = trials_->begin(package.id);
  // Step 3: as in the trial; but files and machines change.
  SKERRY_ASSIGN(auto model, stage_model(package, options_.load, stop, std::move(activity)));
  const TrialReport measured = trials_->measured(package.id);
  model->stats.set_memory(measured.model_memory_bytes);
  package.runtime->note("", measured.runtime_memory_bytes);
  return model;
}

}  // namespace skerry::serve
