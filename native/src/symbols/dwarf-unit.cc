/** Reading of unit headers, abbreviations and attribute values. */
#include "dwarf-unit.h"

#include "dwarf-constants.h"

namespace hotspan::symbols {
namespace {

// The largest table seen (a browser, linked as one unit) has 4,000 abbreviations of 12 attributes.
constexpr size_t maxAttributes = 1U << 20;
constexpr size_t maxAbbreviations = 1U << 18;

using Kind = AttributeValue::Kind;

uint64_t blockBytes(DwarfCursor &cursor, uint16_t form) {
    switch (form) {
    case dw::formBlock1:
        return cursor.u8();
    case dw::formBlock2:
        return cursor.u16();
    case dw::formBlock4:
        return cursor.u32();
    default:
        return cursor.uleb();
    }
}

/** Bytes of a form whose values all take as many; -1 for others. */
int fixedBytes(const UnitHeader &unit, uint16_t form) {
    switch (form) {
    case dw::formFlagPresent:
    case dw::formImplicitConst:
        return 0;
    case dw::formData1:
    case dw::formFlag:
    case dw::formRef1:
    case dw::formStrx1:
    case dw::formAddrx1:
        return 1;
    case dw::formData2:
    case dw::formRef2:
    case dw::formStrx2:
    case dw::formAddrx2:
        return 2;
    case dw::formStrx3:
    case dw::formAddrx3:
        return 3;
    case dw::formData4:
    case dw::formRef4:
    case dw::formRefSup4:
    case dw::formStrx4:
    case dw::formAddrx4:
        return 4;
    case dw::formData8:
    case dw::formRef8:
    case dw::formRefSig8:
    case dw::formRefSup8:
        return 8;
    case dw::formData16:
        return 16;
    case dw::formStrp:
    case dw::formSecOffset:
    case dw::formLineStrp:
    case dw::formStrpSup:
    case dw::formGnuRefAlt:
    case dw::formGnuStrpAlt:
        return unit.offsetBytes();
    case dw::formRefAddr:
        return unit.version <= 2 ? unit.addressBytes : unit.offsetBytes();
    case dw::formAddr:
        return unit.addressBytes;
    default:
        return -1;
    }
}

uint64_t readFixed(DwarfCursor &cursor, int sizeBytes) {
    switch (sizeBytes) {
    case 1:
        return cursor.u8();
    case 2:
        return cursor.u16();
    case 3:
        return cursor.u24();
    case 4:
        return cursor.u32();
    default:
        return cursor.u64();
    }
}

Kind kindOf(uint16_t form) {
    switch (form) {
    case dw::formAddr:
        return Kind::address;
    case dw::formAddrx:
    case dw::formAddrx1:
    case dw::formAddrx2:
    case dw::formAddrx3:
    case dw::formAddrx4:
    case dw::formGnuAddrIndex:
        return Kind::addressIndex;
    case dw::formStrp:
        return Kind::strOffset;
    case dw::formLineStrp:
        return Kind::lineStrOffset;
    case dw::formStrpSup:
    case dw::formGnuStrpAlt:
        return Kind::altStrOffset;
    case dw::formStrx:
    case dw::formStrx1:
    case dw::formStrx2:
    case dw::formStrx3:
    case dw::formStrx4:
    case dw::formGnuStrIndex:
        return Kind::stringIndex;
    case dw::formRef1:
    case dw::formRef2:
    case dw::formRef4:
    case dw::formRef8:
    case dw::formRefUdata:
    case dw::formRefAddr:
        return Kind::reference;
    case dw::formRefSup4:
    case dw::formRefSup8:
    case dw::formGnuRefAlt:
        return Kind::altReference;
    case dw::formSecOffset:
        return Kind::sectionOffset;
    case dw::formRnglistx:
        return Kind::rangeListIndex;
    case dw::formRefSig8:
    case dw::formLoclistx:
    case dw::formData16:
        return Kind::other;
    default:
        return Kind::constant;
    }
}

bool isOfCode(uint16_t attribute) {
    return attribute == dw::atLowPc || attribute == dw::atRanges;
}

/** Which member of EntryAttributes takes an attribute; null where none does. */
AttributeValue *slotOf(EntryAttributes &out, uint16_t attribute) {
    switch (attribute) {
    case dw::atSibling:
        return &out.sibling;
    case dw::atName:
        return &out.name;
    case dw::atStmtList:
        return &out.stmtList;
    case dw::atLowPc:
        return &out.lowPc;
    case dw::atHighPc:
        return &out.highPc;
    case dw::atCompDir:
        return &out.compDir;
    case dw::atAbstractOrigin:
        return &out.origin;
    case dw::atSpecification:
        return &out.specification;
    case dw::atRanges:
        return &out.ranges;
    case dw::atCallFile:
        return &out.callFile;
    case dw::atCallLine:
        return &out.callLine;
    case dw::atLinkageName:
    case dw::atMipsLinkageName:
        return &out.linkageName;
    case dw::atStrOffsetsBase:
        return &out.strOffsetsBase;
    case dw::atAddrBase:
    case dw::atGnuAddrBase:
        return &out.addrBase;
    case dw::atRnglistsBase:
        return &out.rnglistsBase;
    case dw::atGnuRangesBase:
        return &out.gnuRangesBase;
    case dw::atDwoName:
    case dw::atGnuDwoName:
        return &out.dwoName;
    case dw::atGnuDwoId:
        return &out.dwoId;
    default:
        return nullptr;
    }
}

} // namespace

AbbreviationTable AbbreviationTable::read(DwarfCursor &cursor, WorkLimit &limit, uint64_t lastCode) {
    AbbreviationTable table;
    for (uint64_t code; (code = cursor.uleb()) != 0 && cursor.isGood() && limit.step();) {
        Abbreviation one;
        one.tag = static_cast<uint16_t>(cursor.uleb());
        one.hasChildren = cursor.u8() != 0;
        one.firstAttribute = static_cast<uint32_t>(table.attributes_.size());
        for (;;) {
            AttributeSpec spec;
            spec.name = static_cast<uint16_t>(cursor.uleb());
            spec.form = static_cast<uint16_t>(cursor.uleb());
            if (spec.form == dw::formImplicitConst) {
                spec.implicitValue = cursor.sleb();
            }
            if ((spec.name == 0 && spec.form == 0) || !cursor.isGood() || table.attributes_.size() >= maxAttributes) {
                break;
            }
            one.hasCode = one.hasCode || isOfCode(spec.name);
            one.hasSibling = one.hasSibling || spec.name == dw::atSibling;
            table.attributes_.push_back(spec);
        }
        one.attributeCount = static_cast<uint32_t>(table.attributes_.size()) - one.firstAttribute;
        if (code == table.dense_.size() + 1) {
            table.dense_.push_back(one);
        } else {
            table.sparse_.emplace(code, one);
        }
        if (code == lastCode || table.attributes_.size() >= maxAttributes ||
            table.dense_.size() + table.sparse_.size() >= maxAbbreviations) {
            break;
        }
    }
    return table;
}

const Abbreviation *AbbreviationTable::find(uint64_t code) const {
    if (code - 1 < dense_.size()) {
        return &dense_[static_cast<size_t>(code - 1)];
    }
    auto found = sparse_.find(code);
    return found == sparse_.end() ? nullptr : &found->second;
}

size_t AbbreviationTable::bytes() const {
    return dense_.capacity() * sizeof(Abbreviation) + sparse_.size() * (sizeof(Abbreviation) + 32) +
           attributes_.capacity() * sizeof(AttributeSpec);
}

bool UnitHeader::read(DwarfCursor &cursor) {
    offset = cursor.at();
    uint64_t length = cursor.u32();
    isDwarf64 = length == 0xffffffff;
    if (isDwarf64) {
        length = cursor.u64();
    }
    end = 0;
    if (!cursor.isGood() || length > cursor.sizeBytes() - cursor.at()) {
        return false;
    }
    end = cursor.at() + length;
    version = cursor.u16();
    if (version < 2 || version > 5) {
        return false;
    }
    if (version >= 5) {
        type = cursor.u8();
        addressBytes = cursor.u8();
        abbreviations = cursor.offset(isDwarf64);
        if (type == dw::unitSkeleton || type == dw::unitSplitCompile) {
            dwoId = cursor.u64();
        } else if (type == dw::unitType || type == dw::unitSplitType) {
            cursor.skip(8U + offsetBytes());
        }
    } else {
        type = dw::unitCompile;
        abbreviations = cursor.offset(isDwarf64);
        addressBytes = cursor.u8();
    }
    entries = cursor.at();
    return cursor.isGood() && entries <= end && (addressBytes == 4 || addressBytes == 8);
}

AttributeValue readAttribute(DwarfCursor &cursor, const UnitHeader &unit, const AttributeSpec &spec) {
    uint16_t form = spec.form;
    if (form == dw::formIndirect) {
        form = static_cast<uint16_t>(cursor.uleb());
    }
    AttributeValue value{kindOf(form), 0};
    int sizeBytes = fixedBytes(unit, form);
    if (form == dw::formImplicitConst) {
        value.number = static_cast<uint64_t>(spec.implicitValue);
    } else if (form == dw::formFlagPresent) {
        value.number = 1;
    } else if (form == dw::formData16) {
        cursor.skip(16);
    } else if (sizeBytes > 0) {
        value.number = readFixed(cursor, sizeBytes);
        // Version 3 and older write section offsets as plain data; which attributes are such is known by their names.
        bool isRelative = form >= dw::formRef1 && form <= dw::formRef8;
        value.number += isRelative ? unit.offset : 0;
    } else if (form == dw::formString) {
        value = {Kind::string, cursor.at()};
        cursor.skipString();
    } else if (form == dw::formSdata) {
        value.number = static_cast<uint64_t>(cursor.sleb());
    } else if (form == dw::formUdata || form == dw::formStrx || form == dw::formAddrx || form == dw::formRnglistx ||
               form == dw::formLoclistx || form == dw::formGnuAddrIndex || form == dw::formGnuStrIndex ||
               form == dw::formRefUdata) {
        value.number = cursor.uleb() + (form == dw::formRefUdata ? unit.offset : 0);
    } else if (form == dw::formBlock || form == dw::formExprloc || form == dw::formBlock1 || form == dw::formBlock2 ||
               form == dw::formBlock4) {
        value.kind = Kind::other;
        cursor.skip(blockBytes(cursor, form));
    } else {
        cursor.fail();
    }
    return value;
}

void skipAttribute(DwarfCursor &cursor, const UnitHeader &unit, const AttributeSpec &spec) {
    int sizeBytes = fixedBytes(unit, spec.form);
    if (sizeBytes >= 0) {
        cursor.skip(static_cast<uint64_t>(sizeBytes));
    } else if (spec.form == dw::formExprloc) {
        cursor.skip(cursor.uleb());
    } else if (spec.form == dw::formUdata || spec.form == dw::formSdata || spec.form == dw::formStrx) {
        cursor.skipLeb();
    } else {
        readAttribute(cursor, unit, spec);
    }
}

void skipEntry(DwarfCursor &cursor, const UnitHeader &unit, const AbbreviationTable &table, const Abbreviation &entry) {
    const AttributeSpec *specs = table.attributesOf(entry);
    for (uint32_t i = 0; i < entry.attributeCount && cursor.isGood(); i++) {
        skipAttribute(cursor, unit, specs[i]);
    }
}

EntryAttributes readEntry(DwarfCursor &cursor, const UnitHeader &unit, const AbbreviationTable &table,
                          const Abbreviation &entry) {
    EntryAttributes out;
    const AttributeSpec *specs = table.attributesOf(entry);
    for (uint32_t i = 0; i < entry.attributeCount && cursor.isGood(); i++) {
        if (specs[i].name == dw::atDeclaration) {
            out.isDeclaration = readAttribute(cursor, unit, specs[i]).number != 0;
        } else if (AttributeValue *slot = slotOf(out, specs[i].name)) {
            *slot = readAttribute(cursor, unit, specs[i]);
        } else {
            skipAttribute(cursor, unit, specs[i]);
        }
    }
    return out;
}

} // namespace hotspan::symbols
