import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { DemandedNames } from '#dataplane/demanded-names.ts';

describe('DemandedNames', () => {
  let names: DemandedNames;
  beforeEach(() => {
    names = new DemandedNames();
  });

  it('asks for each name once, whoever wants it', () => {
    expect(names.want(['/1', '/2'])).to.deep.equal({ ask: ['/1', '/2'], answered: [] });
    expect(names.want(['/2', '/3'])).to.deep.equal({ ask: ['/3'], answered: [] });
  });

  it('answers at once what was answered before, also that there is nothing', () => {
    names.want(['/1', '/2', '/3']);
    expect(names.answer(['Pod/a', '/1', '/9'], ['/2'])).to.deep.equal({
      answered: ['/1', '/2'],
      forgotten: [],
    });
    expect(names.want(['/1', '/2', '/3'])).to.deep.equal({ ask: [], answered: ['/1', '/2'] });
  });

  it('says again when something comes where nothing was, or goes', () => {
    names.want(['/1']);
    names.answer([], ['/1']);
    expect(names.answer(['/1'], []).answered).to.deep.equal(['/1']);
    expect(names.answer([], ['/1']).answered).to.deep.equal(['/1']);
  });

  it('forgets what does not exist, oldest first, when it is too much', () => {
    const many = Array.from({ length: 20_000 }, (_, index) => `/${index}`);
    names.want(many);
    expect(names.answer([], many).forgotten).to.deep.equal([]);
    names.want(['/a', '/b']);
    expect(names.answer(['/b'], ['/a']).forgotten).to.deep.equal(['/0']);
    expect(names.want(['/0', '/1'])).to.deep.equal({ ask: ['/0'], answered: ['/1'] });
  });

  it('does not ask for ever more while nobody answers', () => {
    const many = Array.from({ length: 20_000 }, (_, index) => `/${index}`);
    expect(names.want(many).ask).to.have.length(20_000);
    expect(names.want(['/more'])).to.deep.equal({ ask: [], answered: [] });
    names.answer([], ['/0']);
    expect(names.want(['/more']).ask).to.deep.equal(['/more']);
  });
});
