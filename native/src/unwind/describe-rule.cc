/** Rules in words. */
#include "unwind-table.h"

namespace hotspan::unwind {
namespace {

const char *const registerNames[16] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp",
                                       "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

std::string withOffset(const std::string &base, int64_t offset) {
    return base + (offset < 0 ? "" : "+") + std::to_string(offset);
}

std::string describeCfa(uint32_t rule) {
    int64_t offset = unwind_rule_offset(rule);
    switch (unwind_rule_cfa(rule)) {
    case UNWIND_CFA_NONE:
        return "none";
    case UNWIND_CFA_END:
        return "end";
    case UNWIND_CFA_SP:
        return withOffset("rsp", offset);
    case UNWIND_CFA_BP:
        return withOffset("rbp", offset);
    case UNWIND_CFA_DEREF_SP:
        return "*(" + withOffset("rsp", offset) + ")";
    case UNWIND_CFA_DEREF_BP:
        return "*(" + withOffset("rbp", offset) + ")";
    case UNWIND_CFA_DEREF_SP8:
        return "*(" + withOffset("rsp", offset) + ")+8";
    case UNWIND_CFA_DEREF_BP8:
        return "*(" + withOffset("rbp", offset) + ")+8";
    case UNWIND_CFA_PLT:
        return "plt " + std::to_string(unwind_rule_plt_threshold(rule));
    case UNWIND_CFA_SIGNAL:
        return withOffset("signal rsp", offset);
    case UNWIND_CFA_OTHER_BP:
        return withOffset("other rbp", offset);
    case UNWIND_CFA_REGISTER:
        return withOffset(registerNames[unwind_rule_register(rule)], unwind_rule_register_offset(rule));
    case UNWIND_CFA_FAR_SP:
        return withOffset("rsp", unwind_rule_far_offset(rule));
    case UNWIND_CFA_LEAF_SP:
        return withOffset("rsp", unwind_rule_register_offset(rule)) +
               " ra=" + registerNames[unwind_rule_register(rule)];
    default:
        return "unknown";
    }
}

} // namespace

std::string describeRule(uint32_t rule) {
    std::string text = describeCfa(rule);
    switch (unwind_rule_bp(rule)) {
    case UNWIND_BP_AT_CFA:
        return text + withOffset(" rbp=*cfa", unwind_rule_cfa(rule) == UNWIND_CFA_FAR_SP
                                                  ? unwind_rule_far_bp_offset(rule)
                                                  : unwind_rule_bp_offset(rule));
    case UNWIND_BP_AT_BP:
        return text + withOffset(" rbp=*rbp", unwind_rule_bp_offset(rule));
    case UNWIND_BP_UNKNOWN:
        return text + " rbp=?";
    default:
        return text;
    }
}

} // namespace hotspan::unwind
