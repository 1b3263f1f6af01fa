/** The numbers of DWARF 2 to 5 that naming needs (DWARF 5, section 7), and of the GNU extensions before version 5. */
#pragma once

#include <cstdint>

namespace hotspan::symbols::dw {

enum Tag : uint16_t {
    tagClassType = 0x02,
    tagEnumerationType = 0x04,
    tagStructureType = 0x13,
    tagUnionType = 0x17,
    tagCompileUnit = 0x11,
    tagInlinedSubroutine = 0x1d,
    tagSubprogram = 0x2e,
    tagPartialUnit = 0x3c,
    tagSkeletonUnit = 0x4a,
};

enum Attribute : uint16_t {
    atSibling = 0x01,
    atName = 0x03,
    atStmtList = 0x10,
    atLowPc = 0x11,
    atHighPc = 0x12,
    atCompDir = 0x1b,
    atInline = 0x20,
    atAbstractOrigin = 0x31,
    atDeclaration = 0x3c,
    atSpecification = 0x47,
    atEntryPc = 0x52,
    atRanges = 0x55,
    atCallFile = 0x58,
    atCallLine = 0x59,
    atLinkageName = 0x6e,
    atStrOffsetsBase = 0x72,
    atAddrBase = 0x73,
    atRnglistsBase = 0x74,
    atDwoName = 0x76,
    atMipsLinkageName = 0x2007,
    atGnuDwoName = 0x2130,
    atGnuDwoId = 0x2131,
    atGnuRangesBase = 0x2132,
    atGnuAddrBase = 0x2133,
};

enum Form : uint16_t {
    formAddr = 0x01,
    formBlock2 = 0x03,
    formBlock4 = 0x04,
    formData2 = 0x05,
    formData4 = 0x06,
    formData8 = 0x07,
    formString = 0x08,
    formBlock = 0x09,
    formBlock1 = 0x0a,
    formData1 = 0x0b,
    formFlag = 0x0c,
    formSdata = 0x0d,
    formStrp = 0x0e,
    formUdata = 0x0f,
    formRefAddr = 0x10,
    formRef1 = 0x11,
    formRef2 = 0x12,
    formRef4 = 0x13,
    formRef8 = 0x14,
    formRefUdata = 0x15,
    formIndirect = 0x16,
    formSecOffset = 0x17,
    formExprloc = 0x18,
    formFlagPresent = 0x19,
    formStrx = 0x1a,
    formAddrx = 0x1b,
    formRefSup4 = 0x1c,
    formStrpSup = 0x1d,
    formData16 = 0x1e,
    formLineStrp = 0x1f,
    formRefSig8 = 0x20,
    formImplicitConst = 0x21,
    formLoclistx = 0x22,
    formRnglistx = 0x23,
    formRefSup8 = 0x24,
    formStrx1 = 0x25,
    formStrx2 = 0x26,
    formStrx3 = 0x27,
    formStrx4 = 0x28,
    formAddrx1 = 0x29,
    formAddrx2 = 0x2a,
    formAddrx3 = 0x2b,
    formAddrx4 = 0x2c,
    formGnuAddrIndex = 0x1f01,
    formGnuStrIndex = 0x1f02,
    formGnuRefAlt = 0x1f20,
    formGnuStrpAlt = 0x1f21,
};

enum UnitType : uint8_t {
    unitCompile = 1,
    unitType = 2,
    unitPartial = 3,
    unitSkeleton = 4,
    unitSplitCompile = 5,
    unitSplitType = 6
};

enum RangeEntry : uint8_t {
    rangeEnd = 0,
    rangeBaseAddressx = 1,
    rangeStartxEndx = 2,
    rangeStartxLength = 3,
    rangeOffsetPair = 4,
    rangeBaseAddress = 5,
    rangeStartEnd = 6,
    rangeStartLength = 7,
};

enum LineContent : uint16_t { contentPath = 1, contentDirectoryIndex = 2 };

enum LineOpcode : uint8_t {
    lineExtended = 0,
    lineCopy = 1,
    lineAdvancePc = 2,
    lineAdvanceLine = 3,
    lineSetFile = 4,
    lineSetColumn = 5,
    lineConstAddPc = 8,
    lineFixedAdvancePc = 9,
    lineSetIsa = 12,
};
enum LineExtendedOpcode : uint8_t { lineEndSequence = 1, lineSetAddress = 2 };

} // namespace hotspan::symbols::dw
