// Loads the model, and checks at once that it has what the file connects.
#include "pipeline/model_step.h"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline/pipeline.h"

namespace skerry::pipeline {
namespace {

Result<void> check_names(const Settings& settings, std::string_view key,
                         const std::vector<tensor::TensorSpec>& has,
                         const std::vector<std::string>& named, bool must_be_all) {
  std::string all;
  for (const tensor::TensorSpec& spec : has) {
    all += fmt::format("{}{} {}", all.empty() ? "" : ", ", spec.name,
                       tensor::describe(spec.type, spec.shape));
    if (must_be_all && std::ranges::count(named, spec.name) == 0) {
      return settings.wrong(key, fmt::format("the model needs '{}' as well", spec.name));
    }
  }
  for (const std::string& name : named) {
    if (std::ranges::count(has, name, &tensor::TensorSpec::name) > 0) continue;
    return settings.wrong(key, fmt::format("the model has no '{}', only: {}", name, all));
  }
  return {};
}

}  // namespace

Result<StepPtr> ModelStep::make(Settings& settings, const runtime::Runtimes& runtimes,
                                const runtime::LoadOptions& options,
                                std::vector<std::string> inputs, std::vector<std::string> outputs) {
  SKERRY_ASSIGN(const auto file, settings.text("file"));
  SKERRY_ASSIGN(const auto name, settings.text("runtime"));
  if (!file) return settings.wrong("file", "is missing: the model's, in the package");
  if (!name) return settings.wrong("runtime", "is missing: what runs the model");
  if (*name == kRuntimeName) return settings.wrong("runtime", "a pipeline holds no pipelines");
  auto step = std::make_unique<ModelStep>();
  const auto in_step = [&](const Error& error) {
    return fail(error.with_context(fmt::format("model '{}'", *file)));
  };
  auto found = runtimes.find(*name);
  if (!found) return in_step(found.error());
  step->runtime_ = std::move(*found);
  auto opened = step->runtime_->open();
  if (!opened) return in_step(opened.error());
  runtime::Runtime& runtime = **opened;
  auto loaded = runtime.load(settings.source().with_main(*file), options);
  if (!loaded) return in_step(loaded.error());
  step->model_ = std::move(*loaded);
  SKERRY_TRY(check_names(settings, "in", step->model_->inputs(), inputs, true));
  SKERRY_TRY(check_names(settings, "out", step->model_->outputs(), outputs, false));
  if (!runtime.capabilities().thread_safe) step->one_at_a_time_ = std::make_unique<std::mutex>();
  step->inputs_ = std::move(inputs);
  step->outputs_ = std::move(outputs);
  return step;
}

Result<std::vector<Value>> ModelStep::run(std::span<const Value> inputs,
                                          const std::stop_token& stop) const {
  std::vector<tensor::TensorView> views;
  for (size_t i = 0; i < inputs.size(); ++i) views.push_back(inputs[i].view(inputs_[i]));
  std::unique_lock<std::mutex> lock;
  if (one_at_a_time_) lock = std::unique_lock(*one_at_a_time_);
  SKERRY_ASSIGN(auto tensors, model_->run(views, outputs_, stop));
  std::vector<Value> values;
  for (tensor::Tensor& tensor : tensors) {
    values.push_back(own(tensor.type, std::move(tensor.shape), std::move(tensor.bytes)));
  }
  return values;
}

}  // namespace skerry::pipeline
