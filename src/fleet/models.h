// Versions of models with their provenance, the tags that point at them, and which devices run
// them. A version is one of a component; it is described once and stays what it is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fleet/store.h"
#include "formats/model_provenance.h"

namespace skerry::fleet {

struct ModelVersion {
  ComponentName component;
  std::string version;
  formats::ModelProvenance provenance;
  std::string created_by;
  int64_t created_ms = 0;
  bool operator==(const ModelVersion&) const = default;
};

// What is looked for; "" is anything.
struct ModelFilter {
  ComponentName component;
  std::string version;
  std::string dataset;
  std::string dataset_version;
  std::string source_sha256;
  ThingName thing;
};

// kAlreadyExists where it is described otherwise and its component version is published; the same
// again changes nothing.
Result<void> describe_model(Store& store, const ModelVersion& model);
Result<ModelVersion> find_model(Store& store, const ComponentName& component,
                                const std::string& version);
// Published ones, by component, newest first; `filter.thing` does not count.
Result<std::vector<ModelVersion>> list_models(Store& store, const ModelFilter& filter,
                                              size_t limit);

// A device that runs a version; `model.provenance` is empty where nobody described it.
struct RunningModel {
  ThingName thing;
  std::string state;  // of the component
  ModelVersion model;
};
// One query, forward from a data set or a source to devices and back from a device: by component
// version and thing.
Result<Slice<RunningModel>> trace_models(Store& store, const ModelFilter& filter, const Page& page);

struct Promotion {
  int64_t sequence = 0;  // set by the store
  ComponentName component;
  std::string tag;
  std::string version;
  std::string previous;  // "" where the tag is new
  std::string by;
  int64_t at_ms = 0;
};
// The tag points at the version from now on; kNotFound where that is not published.
Result<Promotion> promote_model(Store& store, Promotion promotion);
// Newest first; of one tag, or of all where it is "".
Result<std::vector<Promotion>> list_promotions(Store& store, const ComponentName& component,
                                               const std::string& tag, size_t limit);
// The newest of each tag.
Result<std::vector<Promotion>> model_tags(Store& store, const ComponentName& component);

}  // namespace skerry::fleet
