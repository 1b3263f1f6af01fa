/** Units in .dwp files: many .dwo files put into one, with an index by their ids (DWARF 5, section 7.3.5; and GNU's
 * before). */
#pragma once

#include <cstdint>
#include <optional>

#include "dwarf-file.h"

namespace hotspan::symbols {

struct PackagedUnit {
    /** Of the unit in .debug_info.dwo. */
    uint64_t info = 0;
    /** Without the skeleton. */
    UnitOptions parts;
};

std::optional<PackagedUnit> findInPackage(DwarfFile &package, uint64_t dwoId, WorkLimit &limit);

} // namespace hotspan::symbols
