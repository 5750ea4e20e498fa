// Versions and ranges.
#include "formats/version.h"

#include <gtest/gtest.h>
