/* What main.c needs on an emulated microcontroller. */
#ifndef EMULATOR_H
#define EMULATOR_H

/* Count instructions from here. */
void start_counting(void);

/* Print the number of instructions since then. */
void print_count(const char *what);

#endif
