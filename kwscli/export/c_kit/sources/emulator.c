/* Starts a program on a Cortex-M that QEMU emulates, and counts its instructions.
 *
 * With -icount shift=0, each instruction takes 1 ns of the emulator's time, and the timer of these boards counts at
 * 25 MHz. So a tick of the timer is 40 instructions. An emulator has no caches and no waiting: these are not cycles. */
#include "emulator.h"

#include <stdint.h>
#include <stdio.h>

#define SYSTICK ((volatile uint32_t *)0xE000E010u) /* control, value at the start, value */
#define CPACR ((volatile uint32_t *)0xE000ED88u)
#define INSTRUCTIONS_PER_TICK 40u
#define LARGEST 0xFFFFFFu

void start_counting(void)
{
    SYSTICK[1] = LARGEST;
    SYSTICK[2] = 0;
    SYSTICK[0] = 5; /* on, with the clock of the processor */
}

void print_count(const char *what)
{
    const uint32_t ticks = LARGEST - SYSTICK[2];
    printf("%s: %lu instructions\n", what, (unsigned long)(ticks * INSTRUCTIONS_PER_TICK));
}

extern uint32_t stack_top;
void _start(void);

static void reset(void)
{
    *CPACR |= 0xFu << 20; /* allow the floating-point unit; the C library's start does the rest */
    __asm volatile("dsb\n\tisb");
    _start();
}

static void fault(void)
{
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    void (*reset)(void);
    void (*others[14])(void);
} vectors = {&stack_top, reset, {fault, fault, fault, fault, fault}};
