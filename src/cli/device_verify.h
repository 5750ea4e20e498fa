// Whether what is installed on a device is still what was published.
#pragma once

#include <string>

#include "base/error.h"
#include "cli/output.h"

namespace skerry::cli {

// Reads every byte of every package below `root`, the device's root folder or the directory of
// `device provision` around it, and prints what is wrong. kCorrupt where anything is.
Result<void> verify_device(const Output& output, const std::string& root);

}  // namespace skerry::cli
