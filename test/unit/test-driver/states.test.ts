import { expect } from 'chai'
import { STATE, TRANSITIONS, transition, type Operation } from '#workers/test-driver/domain/states.js'

const states = Object.entries(STATE)
const legal = (operation: Operation): string[] =>
  states.filter(([, state]) => typeof transition(state, operation) !== 'string').map(([name]) => name)

describe('the life of a test domain', () => {
  it('starts and is restored only from shut off', () => {
    expect(legal('start')).to.deep.equal(['shutoff'])
    expect(legal('restore')).to.deep.equal(['shutoff'])
  })

  it('resumes only when paused, and pauses in every other state but shut off', () => {
    expect(legal('resume')).to.deep.equal(['paused'])
    expect(legal('suspend')).to.deep.equal(['noState', 'running', 'blocked', 'shutdown', 'crashed', 'suspended'])
  })

  it('ends from every state in which it has an id', () => {
    for (const operation of ['destroy', 'save', 'crash', 'halt', 'poweroff', 'restart'] as const)
      expect(legal(operation), operation)
        .to.have.length(states.length - 1)
        .and.not.include('shutoff')
  })

  it('tells of everything but a reboot', () => {
    const silent = Object.entries(TRANSITIONS).filter(([, row]) => row.event === undefined)
    expect(silent.map(([name]) => name)).to.deep.equal(['restart'])
  })
})
