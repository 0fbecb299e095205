#!/usr/bin/env node
import './life/node-version.js'
import { runProgram } from './ctl/program.js'

// Whoever reads it has seen enough.
process.stdout.on('error', () => process.exit())

process.exitCode = await runProgram(process.argv)
